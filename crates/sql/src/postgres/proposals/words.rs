//! The words by which a column is recognised: English, German, French, Spanish, Dutch.

use super::Kind::{self, Date, Number, Text, Uuid};

/// One way to recognise one class of data.
pub(super) struct Rule {
    pub tag: &'static str,
    /// The types that can hold it.
    pub kinds: &'static [Kind],
    /// Phrases of words, separated by commas; each must occur in the column's name, its words next to each other.
    pub phrases: &'static str,
    /// Words that may end a longer word (`useremail`).
    pub endings: &'static str,
    /// Not where one of these words stands anywhere before the phrase.
    pub not_before: &'static str,
    /// Not where one of these words stands anywhere behind the phrase.
    pub not_after: &'static str,
    /// Where not empty: the phrase must be the whole name, in a table with one of these words in *its* name.
    pub tables: &'static str,
}

const NONE: Rule =
    Rule { tag: "", kinds: &[], phrases: "", endings: "", not_before: "", not_after: "", tables: "" };

/// Words that, before a phrase of any rule, make it something else: a yes or no, a limit.
pub(super) const BEFORE: &str = "\
    is has was had can should needs max min allow allows enable enabled require requires show hide send \
    skip use uses public";

/// The same, for numbers only: how many there are.
pub(super) const BEFORE_NUMBER: &str = "num number count n nb anzahl nombre numero aantal";

/// Words that, behind a phrase of any rule, make it something *about* the value.
pub(super) const AFTER: &str = "\
    id ids count counts counter total type types kind category class status state at on time timestamp ts \
    day enabled disabled required optional allowed visible flag optin optout opt subscribed subscription \
    unsubscribed consent verified verification verify confirmed confirmation validated valid invalid \
    bounced bounces sent opened clicked template templates subject body content campaign queue job log \
    logs event events domain provider server host port format length len size limit max min policy version \
    rank score source order sort sorting position priority preference preferences frequency notification \
    notifications setting settings config reminder changed updated created modified deleted expires expiry \
    expiration expired ttl attempts retries failures error errors usage used rate quota strength schema \
    table column locale language timezone label description icon color typ anzahl";

/// In the order of precedence: what opens doors before what names people.
pub(super) const RULES: &[Rule] = &[
    Rule {
        tag: "secret",
        kinds: &[Text, Uuid],
        phrases: "\
            password, passwords, passwd, pwd, pw, passphrase, passcode, passhash, pass hash, pwhash, \
            secret, secrets, token, tokens, api key, api keys, apikey, apikeys, secret key, secretkey, \
            private key, privatekey, access key, signing key, encryption key, encryption keys, auth key, \
            session key, master key, ssh key, license key, service key, decryption key, credential, \
            credentials, security answer, secret answer, recovery codes, backup codes, jwt, bearer, \
            connection string, connectionstring, database url, pin hash, encrypted pin, seed phrase, \
            mnemonic, keystore, passwort, kennwort, passwoerter, geheimnis, geheimer schluessel, mot de \
            passe, motdepasse, mdp, cle privee, cle api, cle secrete, contrasena, contrasenia, clave \
            privada, clave secreta, clave acceso, clave de acceso, wachtwoord, geheime sleutel, \
            toegangscode",
        endings: "\
            password passwd token apikey secretkey privatekey accesskey passwort kennwort wachtwoord \
            passwordhash passworddigest contrasena",
        not_before: "next continuation page cursor cancellation",
        not_after: "\
            name prefix symbol standard supply decimals address santa url uri endpoint path ref arn store \
            manager issuer audience scope scopes method algorithm algo alg encoding iterations strategy \
            count index family",
        ..NONE
    },
    Rule {
        tag: "secret",
        kinds: &[Text, Number],
        phrases: "\
            cvv, cvc, cvv2, cvc2, csc, card pin, otp, totp, otp code, one time code, verification code, \
            security code, reset code, recovery code, pruefziffer karte",
        ..NONE
    },
    Rule {
        tag: "secret",
        kinds: &[Text, Uuid],
        phrases: "key, keys, value, hash, key hash, hashed key, digest, data, payload, code, ciphertext",
        tables: "apikey apikeys secret secrets credential credentials token tokens password passwords",
        ..NONE
    },
    // `api_keys.key`: two words of the table make one.
    Rule {
        tag: "secret",
        kinds: &[Text, Uuid],
        phrases: "key, value, hash, key hash, digest",
        tables: "keys",
        ..NONE
    },
    Rule {
        tag: "pii.ip",
        kinds: &[Text],
        phrases: "\
            ip, ips, ipaddr, ipaddress, ip address, ip addr, remote addr, remoteaddr, client addr, \
            clientaddr, ipv4, ipv6, adresse ip, direccion ip, ip adresse, ip adres",
        endings: "ipaddress",
        not_before: "server host gateway dns private bind listen node",
        not_after: "range ranges block version country pool mask subnet network city",
        ..NONE
    },
    Rule {
        tag: "pii.email",
        kinds: &[Text],
        phrases: "\
            email, emails, e mail, mail, mails, emailaddress, mail address, mailaddress, gmail, reply to, \
            emailadresse, mailadresse, e post, courriel, courriels, adresse electronique, correo, correos, \
            correo electronico, emailadres, mailadres",
        endings: "email emails emailaddress emailadresse courriel emailadres",
        not_before: "mac",
        not_after: "client app list lists text html",
        ..NONE
    },
    Rule {
        tag: "pii.card",
        kinds: &[Text, Number],
        phrases: "\
            card number, card no, card num, card nr, cardnumber, cardno, cardnum, credit card, creditcard, \
            debit card, debitcard, cc number, cc num, cc no, ccnumber, ccnum, ccn, card pan, pan, pan \
            number, kartennummer, kartennr, karten nr, kreditkarte, kreditkartennummer, carte bancaire, \
            carte credit, carte de credit, numero carte, numero de carte, numero tarjeta, numero de \
            tarjeta, num tarjeta, tarjeta credito, tarjeta de credito, kaartnummer, kaart nummer, \
            creditcardnummer, creditkaart",
        endings: "cardnumber creditcard kreditkartennummer",
        not_after: "brand network issuer bank last last4 four exp month year token fee fees name holder",
        ..NONE
    },
    Rule {
        tag: "pii.iban",
        kinds: &[Text, Number],
        phrases: "\
            iban, ibans, bban, bank account, bankaccount, bank account number, account number bank, \
            kontonummer, kontonr, konto nr, bankverbindung, bankkonto, compte bancaire, numero de compte, \
            numero compte, cuenta bancaria, numero cuenta, numero de cuenta, rekeningnummer, rekening \
            nummer, bankrekening, bankrekeningnummer",
        endings: "iban",
        not_after: "name bank country bic currency balance holder",
        ..NONE
    },
    Rule {
        tag: "pii.iban",
        kinds: &[Text, Number],
        phrases: "account number, account no, accountnumber, account num, number, routing number",
        tables: "bank banks bankaccount bankaccounts payout payouts",
        ..NONE
    },
    Rule {
        tag: "pii.national_id",
        kinds: &[Text, Number],
        phrases: "\
            ssn, social security, socialsecurity, social security number, socialsecuritynumber, sin \
            number, nino, national insurance, national id, nationalid, national identity, national number, \
            identity card, identity number, identity document, id card, id card number, id number \
            document, passport, passports, passport id, passportnumber, itin, tax number, taxnumber, tax \
            identification, driver license, drivers license, driver licence, drivers licence, driving \
            license, driving licence, driverslicense, driverlicense, nhs number, medicare number, health \
            insurance number, insurance number, aadhaar, aadhar, cpf, pesel, steuernummer, steuer id, \
            steuerid, steuer nr, steueridentifikationsnummer, sozialversicherungsnummer, sv nummer, \
            svnummer, svnr, ahv nummer, ahvnummer, ahv, personalausweis, personalausweisnummer, \
            ausweisnummer, ausweis nr, reisepass, reisepassnummer, versichertennummer, \
            krankenversichertennummer, kvnr, fuehrerschein, fuehrerscheinnummer, securite sociale, num \
            secu, numsecu, numero secu, piece identite, piece d identite, passeport, permis conduire, \
            permis de conduire, dni, nif, curp, pasaporte, numero seguridad social, seguridad social, bsn, \
            burgerservicenummer, paspoort, paspoortnummer, rijksregisternummer, rijbewijs, rijbewijsnummer",
        endings: "passportnumber nationalid socialsecuritynumber ssn",
        not_after: "country issued issuing issuer authority plan name",
        ..NONE
    },
    // Of numbers these are keys of tables of taxes and the like.
    Rule {
        tag: "pii.national_id",
        kinds: &[Text],
        phrases: "tax id, taxid, tin, nir, nie, fiscal code, codice fiscale, identification number",
        not_after: "country",
        ..NONE
    },
    Rule {
        tag: "pii.birthday",
        kinds: &[Date, Text, Number],
        phrases: "\
            dob, date of birth, dateofbirth, birthdate, birth date, birthday, birth day, yob, birth year, \
            birthyear, year of birth, date birth, born, born on, born at, geburtsdatum, geburtstag, \
            geburtsjahr, gebdat, geb datum, geb dat, geboren, geboren am, date de naissance, date \
            naissance, datenaissance, naissance, ne le, fecha de nacimiento, fecha nacimiento, \
            fechanacimiento, nacimiento, geboortedatum, geboortedag, geboortejaar",
        endings: "dateofbirth birthdate birthday geburtsdatum geboortedatum",
        not_after: "place city country message email greeting card weight ort lieu lugar plaats nom name",
        ..NONE
    },
    Rule {
        tag: "pii.phone",
        kinds: &[Text, Number],
        phrases: "\
            phone, phones, phonenumber, telephone, telephones, telephonenumber, tel, tel no, telno, telnr, \
            mobile, mobilephone, cell phone, cellphone, cell number, cell, msisdn, fax, faxnumber, \
            whatsapp, telefon, telefonnummer, telefonnr, rufnummer, handy, handynummer, mobilnummer, \
            mobiltelefon, mobil, mobilfunk, portable tel, numero telephone, numero de telephone, telefono, \
            telefonos, movil, celular, telefoon, telefoonnummer, gsm, mobiel, mobielnummer",
        endings: "phone phonenumber telefon telefonnummer telefono telefoon telefoonnummer handynummer",
        not_after: "\
            country code prefix area app model brand os platform device url carrier operator price plan \
            name",
        ..NONE
    },
    Rule {
        tag: "hr.salary",
        kinds: &[Number, Text],
        phrases: "\
            salary, salaries, wage, wages, base pay, gross pay, net pay, take home pay, hourly wage, \
            remuneration, compensation, annual income, gehalt, gehaelter, grundgehalt, bruttogehalt, \
            nettogehalt, jahresgehalt, monatsgehalt, lohn, bruttolohn, nettolohn, stundenlohn, verguetung, \
            salaire, salaire brut, salaire net, salario, sueldo, salaris, brutoloon, nettoloon, uurloon, \
            maandloon",
        endings: "salary gehalt stundenlohn salaris",
        not_after: "currency grade period month year name",
        ..NONE
    },
    Rule {
        tag: "hr.salary",
        kinds: &[Number, Text],
        phrases: "bonus, income, pay, rate, hourly rate, loon, commission",
        tables: "\
            employee employees staff payroll payrolls salary salaries mitarbeiter personal employes \
            empleados medewerkers",
        ..NONE
    },
    Rule {
        tag: "pii.name",
        kinds: &[Text],
        phrases: "\
            firstname, first name, fname, given name, given names, givenname, lastname, last name, lname, \
            surname, surnames, family name, familyname, full name, fullname, middle name, middlename, \
            maiden name, maidenname, legal name, birth name, customer name, patient name, employee name, \
            student name, guest name, passenger name, recipient name, contact name, person name, \
            cardholder, card holder, cardholder name, account holder, vorname, vornamen, nachname, \
            familienname, zuname, geburtsname, kontoinhaber, karteninhaber, prenom, prenoms, nom de \
            famille, nom famille, nom complet, titulaire, primer nombre, primer apellido, segundo \
            apellido, apellido, apellidos, nombre completo, titular, voornaam, voornamen, achternaam, \
            familienaam, tussenvoegsel, volledige naam",
        endings: "firstname lastname fullname surname vorname nachname",
        not_after: "type",
        ..NONE
    },
    Rule {
        tag: "pii.address",
        kinds: &[Text],
        phrases: "\
            address, addresses, addr, address1, address2, addressline, addressline1, addressline2, street, \
            street name, streetname, street address, streetaddress, house number, housenumber, adresse, \
            anschrift, strasse, strassenname, str, hausnummer, hausnr, wohnanschrift, rue, numero rue, \
            direccion, domicilio, calle, adres, woonadres, straat, straatnaam, huisnummer",
        endings: "address streetaddress anschrift strasse",
        not_before: "\
            mac wallet contract token memory web server bind listen host network bitcoin btc eth ethereum \
            crypto url http hw hardware blockchain",
        not_after: "family book space view",
        ..NONE
    },
    Rule {
        tag: "pii.address",
        kinds: &[Text, Number],
        phrases: "\
            zip, zipcode, zip code, postcode, post code, postal code, postalcode, plz, postleitzahl, code \
            postal, codepostal, codigo postal, codigopostal, house number, hausnummer, huisnummer",
        tables: "\
            user users customer customers client clients patient patients person persons people employee \
            employees staff member members contact contacts student students guest guests passenger \
            passengers subscriber subscribers account accounts address addresses profile profiles lead \
            leads applicant applicants candidate candidates kunde kunden mitarbeiter personen patienten \
            adressen utilisateurs employes personnes adresses clientes usuarios empleados personas \
            direcciones klanten medewerkers gebruikers adres",
        ..NONE
    },
];

/// Words that make an `inet` column a piece of a network rather than somebody's address.
pub(super) const NETWORK: &str = "\
    subnet network net range cidr mask netmask server gateway route prefix pool block dns host allowed \
    blocked";

/// Words that only look like a longer form of an ending.
pub(super) const NO_ENDING: &str = "\
    microphone headphone megaphone saxophone gramophone xylophone vibraphone earphone homophone taliban \
    caliban detoken untoken";
