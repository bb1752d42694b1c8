use super::*;

/// Each line: type, then columns as `column` or `table.column`.
#[track_caller]
fn check(want: Option<&str>, lines: &[(&str, &str)]) {
    for (type_name, columns) in lines {
        for name in columns.split_whitespace() {
            let (table, column) = name.split_once('.').unwrap_or(("things", name));
            assert_eq!(propose("shop", table, column, type_name), want, "{table}.{column} {type_name}");
        }
    }
}

#[test]
fn addresses_of_mail_are_found() {
    check(
        Some("pii.email"),
        &[
            (
                "text",
                "email EMAIL email_address emailAddress customer_email email2 e_mail user.mail contactEmail",
            ),
            (
                "character varying(255)",
                "useremail primary_email_address email_normalized courriel correo_electronico",
            ),
            ("citext", "email_hash adresse_mail emailadres E-Mail"),
            ("text[]", "emails cc_emails"),
            ("jsonb", "email_addresses"),
            ("shop.email", "contact"),
        ],
    );
    check(
        None,
        &[
            ("boolean", "email email_verified is_email has_email"),
            ("timestamp with time zone", "email_verified_at email"),
            ("integer", "email_id email_count num_emails"),
            (
                "text",
                "email_status email_template email_subject email_domain is_email_valid mail_server email_type",
            ),
            ("uuid", "email_id"),
        ],
    );
}

#[test]
fn telephones_are_found() {
    check(
        Some("pii.phone"),
        &[
            (
                "text",
                "phone phone_number phoneNumber home_phone mobile tel fax msisdn telefonnummer handy Telefon_Nr",
            ),
            ("bigint", "phone mobile_number"),
            (
                "character varying",
                "téléphone teléfono móvil telefoonnummer customerphone num_tel te\u{301}le\u{301}phone gsm_nummer",
            ),
        ],
    );
    check(
        None,
        &[
            ("boolean", "phone_verified mobile"),
            (
                "text",
                "phone_type phone_model phone_country_code mobile_app_version microphone headphones telegram cellar",
            ),
            ("integer", "phone_id phone_count num_phones"),
        ],
    );
}

#[test]
fn numbers_of_persons_are_found() {
    check(
        Some("pii.national_id"),
        &[
            (
                "text",
                "ssn SSN social_security_number customerSsn national_id passport_number passport tax_id nino",
            ),
            (
                "character(11)",
                "bsn dni steuer_id sozialversicherungsnummer numero_securite_sociale drivers_license",
            ),
            ("bigint", "ssn national_id"),
        ],
    );
    check(
        None,
        &[
            ("integer", "tax_id nationality_id ssn_id"),
            (
                "text",
                "nationality passport_country session_note tin_can_size lesson passport_expiry_date mission",
            ),
            ("date", "passport_issued passport_expiry"),
        ],
    );
}

#[test]
fn cards_and_accounts_are_found() {
    check(
        Some("pii.card"),
        &[
            (
                "text",
                "card_number cardNumber credit_card cc_number pan kreditkartennummer numero_tarjeta carte_bancaire",
            ),
            ("numeric(19,0)", "card_number"),
        ],
    );
    check(
        Some("pii.iban"),
        &[
            (
                "text",
                "iban IBAN customer_iban bank_account bank_account_number kontonummer rekeningnummer cuenta_bancaria",
            ),
            ("text", "bank_accounts.account_number payouts.account_number"),
        ],
    );
    check(
        None,
        &[
            (
                "text",
                "card_type card_brand card_last_four card_last4 card_network card_holder_type barcode discard cardinality",
            ),
            ("integer", "card_id card_number_count bank_account_id credit_card_id expansion"),
            ("text", "account_number account_type bank_account_type bank_name panel urban"),
        ],
    );
}

#[test]
fn birthdays_are_found() {
    check(
        Some("pii.birthday"),
        &[
            (
                "date",
                "date_of_birth dob birthday birthdate dateOfBirth geburtsdatum date_naissance fecha_nacimiento geboortedatum",
            ),
            ("timestamp without time zone", "birth_date born_on"),
            ("text", "dob birth_date"),
            ("integer", "birth_year year_of_birth"),
        ],
    );
    check(
        None,
        &[
            ("boolean", "birthday_email_sent is_birthday"),
            ("text", "birth_place birthplace birthday_message stubborn"),
            ("date", "hired_on created_on start_date airborne_since"),
            ("uuid", "birthday_id"),
        ],
    );
}

#[test]
fn names_and_addresses_of_people_are_found() {
    check(
        Some("pii.name"),
        &[(
            "text",
            "first_name lastName surname full_name fullname middle_name vorname nachname prénom apellidos achternaam",
        )],
    );
    check(
        Some("pii.address"),
        &[
            (
                "text",
                "address street shipping_address addressLine1 address_2 home_address straße anschrift calle straatnaam",
            ),
            ("jsonb", "billing_address"),
            ("shop.addr", "ship_to"),
            ("text", "customers.zip kunden.plz users.postal_code contacts.code_postal"),
            ("integer", "customers.zip"),
        ],
    );
    check(
        None,
        &[
            (
                "text",
                "name file_name product_name username table_name display_name last_modified_name firstly",
            ),
            ("integer", "address_id address_count street_id"),
            (
                "text",
                "address_type mac_address wallet_address contract_address warehouses.zip city country address_verified",
            ),
            ("boolean", "address_verified first_name_visible"),
            ("timestamp with time zone", "address_verified_at"),
        ],
    );
}

#[test]
fn salaries_are_found() {
    check(
        Some("hr.salary"),
        &[
            (
                "numeric(12,2)",
                "salary base_salary annualSalary gehalt bruttolohn salaire sueldo salaris staff.bonus",
            ),
            ("money", "wage"),
            ("text", "salary_band"),
        ],
    );
    check(
        None,
        &[
            ("text", "salary_currency salary_type games.bonus"),
            ("integer", "salary_id bonus players.bonus"),
            ("numeric", "price total loaded_cost rate jobs.max_salary"),
            ("boolean", "salary_visible"),
        ],
    );
}

#[test]
fn what_opens_doors_is_found() {
    check(
        Some("secret"),
        &[
            (
                "text",
                "password passwd pwd password_hash encrypted_password hashedPassword token access_token refreshToken api_key",
            ),
            (
                "text",
                "apiKey secret client_secret secret_key private_key webhook_secret csrf_token email_verification_token",
            ),
            (
                "text",
                "password_reset_token passwort mot_de_passe contraseña wachtwoord recovery_codes jwt connection_string",
            ),
            (
                "text",
                "secrets.value api_keys.key credentials.data accesstoken userpassword credentials password_hint",
            ),
            ("bytea", "password_digest private_key encryption_key"),
            ("uuid", "token api_key"),
            ("jsonb", "credentials"),
            ("integer", "cvv card_pin otp_code"),
        ],
    );
    check(
        None,
        &[
            ("integer", "token_count max_tokens prompt_tokens token_id password_length secret_level"),
            (
                "timestamp with time zone",
                "password_changed_at token_expires_at last_token_used secret_rotated_at",
            ),
            ("boolean", "password_expired has_password is_secret requires_token"),
            (
                "text",
                "token_type token_name secret_santa secret_name secretary api_key_prefix public_key foreign_key key value",
            ),
            (
                "text",
                "token_symbol token_url next_page_token settings.value keyboard tokenizer password_policy hash file_hash",
            ),
            ("uuid", "api_key_id secret_id"),
        ],
    );
}

#[test]
fn addresses_of_hosts_are_found() {
    check(
        Some("pii.ip"),
        &[
            ("inet", "ip client_addr last_seen_from"),
            ("text", "ip ip_address clientIp remote_addr last_login_ip ipv4 ip_adresse"),
        ],
    );
    check(
        None,
        &[
            ("inet", "subnet server_ip allowed_range gateway"),
            ("cidr", "network ip_range"),
            ("text", "zip ip_version ip_country tip ship server_ip description recipe"),
            ("integer", "ip_id"),
        ],
    );
}

#[test]
fn the_system_is_not_tagged_by_its_names() {
    assert_eq!(propose("pg_catalog", "pg_roles", "rolpassword", "text"), None);
    assert_eq!(propose("information_schema", "columns", "address", "text"), None);
}

#[test]
fn every_word_of_a_rule_is_a_word_as_names_are_taken_apart() {
    for rule in RULES {
        assert!(!rule.kinds.is_empty() && !rule.tag.is_empty());
        let lists = [rule.phrases, rule.endings, rule.not_before, rule.not_after, rule.tables].join(" ");
        for word in lists.split([',', ' ']).filter(|word| !word.is_empty()) {
            assert_eq!(tokens(word), [word], "{}", rule.tag);
        }
    }
}
