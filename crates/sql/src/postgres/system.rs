//! What the server's own relations show that is not structure, counters or sizes: copies of data, secrets, texts of
//! statements.

/// Values of other tables, passwords and their verifiers, connection strings, the server's rules of login.
const SECRET: &str = "system.secret";
/// Texts of statements, with whatever was written into them.
const QUERY: &str = "system.query";

/// The tag of all columns of a relation. A view of an extension may be in any schema, so its name is enough.
pub(super) fn relation_tag(schema: &str, name: &str) -> Option<&'static str> {
    let secret = match schema {
        "pg_catalog" => matches!(
            name,
            "pg_statistic"
                | "pg_largeobject"
                | "pg_hba_file_rules"
                | "pg_ident_file_mappings"
                | "pg_file_settings"
                | "pg_dist_authinfo"
                | "pg_dist_poolinfo"
        ),
        // Long values of every table, in pieces.
        "pg_toast" => true,
        _ => false,
    };
    let statements = name.starts_with("pg_stat_statements") && name != "pg_stat_statements_info"
        || name.starts_with("pg_stat_monitor")
        || name.starts_with("pg_qualstats")
        || name.starts_with("pg_store_plans");
    (secret || statements).then_some(SECRET)
}

/// The tag of one column of a relation whose other columns are clear, so that those who list the relation still can
/// (`\des+`, `\dRs+`, dashboards of activity).
pub(super) fn column_tag(schema: &str, relation: &str, column: &str) -> Option<&'static str> {
    match (schema, relation, column) {
        // Which statistics have been taken is structure; all else of it is of the rows' values.
        ("pg_catalog", "pg_statistic_ext_data", "stxoid" | "stxdinherit") => None,
        ("pg_catalog", "pg_statistic_ext_data", _) => Some(SECRET),
        // The planner's statistics are of the rows' values: how many have none, how many are alike and how often, how they lie.
        // Whose they are and how wide is structure.
        (
            "pg_catalog",
            "pg_stats" | "pg_stats_ext" | "pg_stats_ext_exprs",
            "most_common_vals" | "most_common_val_nulls" | "most_common_elems" | "histogram_bounds"
            | "elem_count_histogram" | "range_length_histogram" | "range_empty_frac" | "range_bounds_histogram"
            | "null_frac" | "n_distinct" | "most_common_freqs" | "most_common_base_freqs"
            | "most_common_elem_freqs" | "correlation" | "dependencies",
        )
        // The value that old rows have of a column that was added with a default.
        | ("pg_catalog", "pg_attribute", "attmissingval") => Some(SECRET),
        ("pg_catalog", "pg_stat_activity", "query")
        | ("pg_catalog", "pg_prepared_statements" | "pg_cursors", "statement")
        // The context of a cached plan is named by its statement.
        | ("pg_catalog", "pg_backend_memory_contexts", "ident")
        // How much of it a sort takes tells how long its values are.
        | (
            "pg_catalog",
            "pg_backend_memory_contexts",
            "total_bytes" | "total_nblocks" | "free_bytes" | "free_chunks" | "used_bytes",
        )
        | ("cron", "job" | "job_run_details", "command")
        | (_, "citus_stat_activity" | "citus_dist_stat_activity" | "citus_stat_statements", "query") => Some(QUERY),
        ("pg_catalog", "pg_subscription", "subconninfo")
        | ("pg_catalog", "pg_stat_wal_receiver", "conninfo")
        | ("pg_catalog", "pg_user_mappings", "umoptions")
        | ("pg_catalog", "pg_authid", "rolpassword")
        | ("pg_catalog", "pg_shadow", "passwd")
        | ("pg_catalog", "pg_user_mapping", "umoptions")
        // Options of foreign servers are everybody's to read, and PostgreSQL's documentation says so; credentials stand here.
        | ("information_schema", "_pg_user_mappings", "umoptions")
        | ("information_schema", "user_mapping_options", "option_value") => Some(SECRET),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_of_data_and_secrets_are_withheld_as_a_whole() {
        let names = "pg_statistic pg_largeobject pg_hba_file_rules pg_ident_file_mappings pg_file_settings";
        for name in names.split_whitespace() {
            assert_eq!(relation_tag("pg_catalog", name), Some(SECRET), "{name}");
            assert_eq!(relation_tag("shop", name), None, "a table of one's own by that name: {name}");
        }
        assert_eq!(relation_tag("pg_toast", "pg_toast_16384"), Some(SECRET));
        for schema in ["public", "extensions", "shop"] {
            assert_eq!(relation_tag(schema, "pg_stat_statements"), Some(SECRET), "{schema}");
        }
    }

    #[test]
    fn structure_counters_and_sizes_are_not() {
        let names = "pg_class pg_attribute pg_type pg_proc pg_roles pg_user pg_settings pg_stat_activity \
            pg_stat_database pg_stat_user_tables pg_locks pg_statistic_ext pg_subscription pg_foreign_server \
            pg_foreign_table pg_user_mappings pg_largeobject_metadata pg_db_role_setting \
            pg_prepared_statements pg_replication_slots pg_database pg_views";
        for name in names.split_whitespace() {
            assert_eq!(relation_tag("pg_catalog", name), None, "{name}");
        }
        for name in ["columns", "tables", "user_mappings", "user_mapping_options"] {
            assert_eq!(relation_tag("information_schema", name), None, "{name}");
        }
        assert_eq!(relation_tag("public", "pg_stat_statements_info"), None);
    }

    #[test]
    fn single_columns_are_withheld_where_the_others_are_structure() {
        let table = [
            ("pg_stat_activity", "query", "state", QUERY),
            ("pg_stats", "histogram_bounds", "avg_width", SECRET),
            ("pg_stats", "null_frac", "inherited", SECRET),
            ("pg_stats", "correlation", "attname", SECRET),
            ("pg_stats_ext", "most_common_vals", "statistics_name", SECRET),
            ("pg_stats_ext", "n_distinct", "kinds", SECRET),
            ("pg_stats_ext_exprs", "most_common_elems", "avg_width", SECRET),
            ("pg_statistic_ext_data", "stxdmcv", "stxoid", SECRET),
            ("pg_statistic_ext_data", "stxdexpr", "stxdinherit", SECRET),
            ("pg_attribute", "attmissingval", "atthasmissing", SECRET),
            ("pg_prepared_statements", "statement", "name", QUERY),
            ("pg_cursors", "statement", "is_holdable", QUERY),
            ("pg_backend_memory_contexts", "used_bytes", "name", QUERY),
            ("pg_subscription", "subconninfo", "subname", SECRET),
            ("pg_stat_wal_receiver", "conninfo", "status", SECRET),
            ("pg_user_mappings", "umoptions", "usename", SECRET),
            ("pg_user_mapping", "umoptions", "umuser", SECRET),
            ("pg_authid", "rolpassword", "rolname", SECRET),
            ("pg_shadow", "passwd", "usename", SECRET),
        ];
        for (relation, withheld, clear, tag) in table {
            assert_eq!(column_tag("pg_catalog", relation, withheld), Some(tag), "{relation}.{withheld}");
            assert_eq!(column_tag("pg_catalog", relation, clear), None, "{relation}.{clear}");
            assert_eq!(column_tag("shop", relation, withheld), None, "shop.{relation}.{withheld}");
        }
        assert_eq!(column_tag("information_schema", "user_mapping_options", "option_value"), Some(SECRET));
        assert_eq!(column_tag("information_schema", "user_mapping_options", "option_name"), None);
        assert_eq!(column_tag("pg_catalog", "pg_proc", "prosrc"), None);
        assert_eq!(column_tag("pg_catalog", "pg_foreign_server", "srvoptions"), None);
    }
}
