//! Which settings a session may change without it being an effect: the same for `SET`, `set_config`, start-up
//! parameters and their `options`.

/// What setting a parameter to a value means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// How things are shown, planned and waited for, or what is so anyway.
    Harmless,
    /// Everything else: it changes what statements mean, what they may do, or what is recorded of them.
    Configure,
}

/// What setting `name` to `value` means. `value` is as the server would read it, without quotes; `None` stands for
/// `DEFAULT` and for what is not certain, so that a setting of which only one value is harmless is not.
///
/// A `search_path` is harmless as a setting; what it makes names mean is the analysis's business. So are limits that
/// policy puts on timeouts.
pub fn classify(name: &str, value: Option<&str>) -> Setting {
    let name = name.to_ascii_lowercase();
    let harmless = match name.as_str() {
        // How texts are read: certain in these spellings only.
        "client_encoding" => value.is_some_and(is_utf8),
        "standard_conforming_strings" => value.is_some_and(is_on),
        "backslash_quote" => {
            value.is_some_and(|value| is_on(value) || value.eq_ignore_ascii_case("safe_encoding"))
        }
        "array_nulls" => value.is_some_and(is_on),
        "transform_null_equals" => value.is_some_and(is_off),
        // A restriction may be taken up, not lifted.
        "default_transaction_read_only" | "transaction_read_only" => value.is_some_and(is_on),
        name => HARMLESS.binary_search(&name).is_ok() || name.starts_with("enable_") && !name.contains('.'),
    };
    if harmless { Setting::Harmless } else { Setting::Configure }
}

/// Harmless whatever their value. Sorted.
const HARMLESS: &[&str] = &[
    "application_name",
    "bytea_output",
    "client_connection_check_interval",
    "client_min_messages",
    "constraint_exclusion",
    "cpu_index_tuple_cost",
    "cpu_operator_cost",
    "cpu_tuple_cost",
    "cursor_tuple_fraction",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "effective_cache_size",
    "effective_io_concurrency",
    "escape_string_warning",
    "extra_float_digits",
    "from_collapse_limit",
    "geqo",
    "geqo_effort",
    "geqo_generations",
    "geqo_pool_size",
    "geqo_seed",
    "geqo_selection_bias",
    "geqo_threshold",
    "gin_fuzzy_search_limit",
    "hash_mem_multiplier",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "jit_above_cost",
    "jit_inline_above_cost",
    "jit_optimize_above_cost",
    "join_collapse_limit",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "maintenance_io_concurrency",
    "max_parallel_workers",
    "max_parallel_workers_per_gather",
    "min_parallel_index_scan_size",
    "min_parallel_table_scan_size",
    "parallel_leader_participation",
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "plan_cache_mode",
    "random_page_cost",
    "recursive_worktable_factor",
    "search_path",
    "seq_page_cost",
    "statement_timeout",
    "stats_fetch_consistency",
    "synchronize_seqscans",
    "temp_buffers",
    "timezone",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_timeout",
    "work_mem",
    "xmlbinary",
];

/// The server compares letters and digits only, in any case.
fn is_utf8(value: &str) -> bool {
    let letters: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
    value.is_ascii() && matches!(letters.to_ascii_lowercase().as_str(), "utf8" | "unicode")
}

fn is_on(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "on" | "true" | "yes" | "1" | "t" | "y")
}

fn is_off(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "off" | "false" | "no" | "0" | "f" | "n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(want: Setting, settings: &[(&str, Option<&str>)]) {
        for (name, value) in settings {
            assert_eq!(classify(name, *value), want, "{name} = {value:?}");
        }
    }

    #[test]
    fn how_things_are_shown_planned_and_waited_for_is_harmless() {
        check(
            Setting::Harmless,
            &[
                ("statement_timeout", Some("5s")),
                ("TimeZone", Some("UTC")),
                ("DateStyle", None),
                ("search_path", Some("shop, public")),
                ("work_mem", Some("64MB")),
                ("enable_seqscan", Some("off")),
                ("ENABLE_HASHJOIN", None),
                ("jit", Some("off")),
                ("random_page_cost", Some("1.1")),
                ("parallel_leader_participation", Some("off")),
                ("default_transaction_isolation", Some("serializable")),
                ("transaction_isolation", Some("repeatable read")),
                ("client_min_messages", Some("warning")),
                ("escape_string_warning", Some("off")),
            ],
        );
    }

    #[test]
    fn what_decides_how_texts_are_read_is_harmless_only_as_it_is() {
        let table = [
            (
                "client_encoding",
                &["UTF8", "utf-8", "'utf-8'", "Unicode", "UTF_8"][..],
                &["LATIN1", "SJIS", "SQL_ASCII", "", "ütf8"][..],
            ),
            (
                "standard_conforming_strings",
                &["on", "TRUE", "yes", "1"],
                &["off", "0", "false", "", "'on'", "of"],
            ),
            ("backslash_quote", &["on", "safe_encoding", "Safe_Encoding"], &["off", "no", "safe"]),
            ("array_nulls", &["on"], &["off"]),
            ("transform_null_equals", &["off", "false", "0"], &["on", "1", "true"]),
        ];
        for (name, harmless, configure) in table {
            harmless.iter().for_each(|value| check(Setting::Harmless, &[(name, Some(value))]));
            configure.iter().for_each(|value| check(Setting::Configure, &[(name, Some(value))]));
            check(Setting::Configure, &[(name, None)]);
        }
    }

    #[test]
    fn a_session_may_be_made_read_only_but_not_writable() {
        for name in ["default_transaction_read_only", "transaction_read_only", "Transaction_Read_Only"] {
            check(Setting::Harmless, &[(name, Some("on")), (name, Some("true"))]);
            check(
                Setting::Configure,
                &[(name, Some("off")), (name, None), (name, Some("fa")), (name, Some(""))],
            );
        }
    }

    #[test]
    fn everything_else_configures() {
        let names = "role session_authorization session_replication_role row_security is_superuser \
            log_statement log_min_duration_statement log_min_messages check_function_bodies \
            default_tablespace temp_tablespaces default_table_access_method local_preload_libraries \
            session_preload_libraries dynamic_library_path synchronous_commit maintenance_work_mem \
            password_encryption lo_compat_privileges zero_damaged_pages ignore_system_indexes \
            default_text_search_config xmloption quote_all_identifiers restrict_nonsystem_relation_kind \
            event_triggers track_activities no_such_setting debug_print_plan \
            durward.principal app.tenant enable_x.y enable_.role pg_trgm.similarity_threshold";
        for name in names.split_whitespace() {
            for value in [Some("on"), Some("off"), Some("origin"), None] {
                check(Setting::Configure, &[(name, value), (&name.to_ascii_uppercase(), value)]);
            }
        }
        check(Setting::Configure, &[("", None), (" work_mem", Some("1")), ("work-mem", Some("1"))]);
    }

    #[test]
    fn the_list_is_sorted_for_its_search() {
        assert!(HARMLESS.is_sorted());
    }
}
