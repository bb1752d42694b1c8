//! What calling a function of the server or of a contrib extension does, by lists that people reviewed (`functions/`).

use std::ops::RangeInclusive;
use std::sync::LazyLock;

use hashbrown::HashMap;

/// What calling a function does, beside computing a result from its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Nothing: computes from its arguments, or tells structure, counters, sizes, settings, time.
    Harmless,
    /// Advances or sets a sequence.
    Sequence,
    /// Makes, reads, writes or removes large objects.
    LargeObject,
    /// Takes an advisory lock.
    LockTable,
    /// Sends a notification.
    Notify,
    /// Reads, writes or lists files of the server's machine.
    ServerFile,
    /// Cancels, ends or disturbs another session.
    OtherSession,
    /// Replication, write-ahead log, backups.
    Replicate,
    /// Changes settings of the session or the server.
    Configure,
    /// Statistics put back or imported, indexes and pages tended.
    Maintain,
    /// Speaks to another server.
    Egress,
    /// Runs an argument as SQL, reads what an argument names, or calls what belongs to a type or table that an argument
    /// names: `query_to_xml`, `table_to_xml`, `ts_stat`, `crosstab`, `domain_in`.
    RunsText,
    /// Shows data that is withheld: other sessions' query texts, statistics' values, raw pages, rules of login.
    Secret,
}

/// Where a function comes from.
///
/// Ask for membership in an extension first: some extensions put their functions into `pg_catalog` (`adminpack`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin<'a> {
    /// The server itself: `pg_catalog` and `information_schema`.
    Catalog,
    /// An extension, by its name.
    Extension(&'a str),
}

/// What calling a function of that name does, `None` where it is on no list; `major` is 13 to 18.
///
/// A name stands for all of its overloads, so the worst of them decides. What a class says is true of the function's
/// own code only. Beside it the caller has to look at: functions of the *types* that take part (checks of domains in a
/// record type that `json_populate_record` fills, a cast to `json` that `to_json` finds, operators of an element type
/// that comparing arrays uses); and, up to 13 for the server's own and always for `citext`, bodies in SQL that name
/// operators without a schema (`overlaps`, `date + time`), which are the server's own only while `pg_catalog` comes
/// first in the search path.
pub(super) fn classify(origin: Origin<'_>, name: &str, major: u32) -> Option<Class> {
    let section = match origin {
        Origin::Catalog => CATALOG,
        // A section of that name is the server's, and no extension is called so.
        Origin::Extension(CATALOG) => return None,
        Origin::Extension(extension) => extension,
    };
    let entry = BY_ORIGIN.get(section)?.get(name)?;
    entry.majors.contains(&major).then_some(entry.class)
}

/// Whether the functions of an extension were looked at.
pub(super) fn is_reviewed(extension: &str) -> bool {
    extension != CATALOG && BY_ORIGIN.contains_key(extension)
}

const CATALOG: &str = "pg_catalog";

/// The majors that were reviewed: of another nothing is known.
const REVIEWED: RangeInclusive<u32> = 13..=18;

/// Worse ones first: of two lines for one name the first counts.
const LISTS: &[(Class, &str)] = &[
    (Class::RunsText, include_str!("functions/runs_text.txt")),
    (Class::ServerFile, include_str!("functions/server_file.txt")),
    (Class::Egress, include_str!("functions/egress.txt")),
    (Class::OtherSession, include_str!("functions/other_session.txt")),
    (Class::Replicate, include_str!("functions/replicate.txt")),
    (Class::Configure, include_str!("functions/configure.txt")),
    (Class::Secret, include_str!("functions/secret.txt")),
    (Class::LargeObject, include_str!("functions/large_object.txt")),
    (Class::Sequence, include_str!("functions/sequence.txt")),
    (Class::Notify, include_str!("functions/notify.txt")),
    (Class::LockTable, include_str!("functions/lock_table.txt")),
    (Class::Maintain, include_str!("functions/maintain.txt")),
    (Class::Harmless, include_str!("functions/harmless.txt")),
];

struct Entry {
    class: Class,
    majors: RangeInclusive<u32>,
}

static BY_ORIGIN: LazyLock<HashMap<&'static str, HashMap<&'static str, Entry>>> = LazyLock::new(|| {
    let mut all: HashMap<_, HashMap<_, Entry>> = HashMap::new();
    for (class, list) in LISTS {
        for (section, name) in names(list) {
            all.entry(section.origin)
                .or_default()
                .entry(name)
                .or_insert_with(|| Entry { class: *class, majors: section.majors.clone() });
        }
    }
    all
});

/// The head of a list's section: `[origin]`, `[origin 14-]`, `[origin -13]`, `[origin 14-16]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Section {
    origin: &'static str,
    majors: RangeInclusive<u32>,
}

impl Section {
    fn parse(line: &'static str) -> Option<Self> {
        let head = line.strip_prefix('[')?.strip_suffix(']')?;
        let Some((origin, majors)) = head.split_once(' ') else {
            return Some(Self { origin: head, majors: REVIEWED });
        };
        let (first, last) = majors.split_once('-')?;
        let first = if first.is_empty() { *REVIEWED.start() } else { first.parse().ok()? };
        let last = if last.is_empty() { *REVIEWED.end() } else { last.parse().ok()? };
        Some(Self { origin, majors: first..=last })
    }
}

/// The names of a list with their sections. Names under a head that cannot be read are on no list; a test sees to it that
/// there are none.
fn names(list: &'static str) -> impl Iterator<Item = (Section, &'static str)> {
    let mut section = None;
    list.lines().filter(|line| !line.starts_with('#')).flat_map(move |line| {
        let head = line.starts_with('[');
        if head {
            section = Section::parse(line);
        }
        let section = if head { None } else { section.clone() };
        section.into_iter().flat_map(|s| line.split_whitespace().map(move |name| (s.clone(), name)))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[track_caller]
    fn check(class: Option<Class>, major: u32, origin: Origin<'_>, names: &str) {
        for name in names.split_whitespace() {
            assert_eq!(classify(origin, name, major), class, "{name} of {origin:?} on {major}");
        }
    }

    #[test]
    fn every_line_of_every_list_is_read() {
        for (class, list) in LISTS {
            let words = list.lines().filter(|line| !line.starts_with('#'));
            let words: usize =
                words.filter(|line| !line.starts_with('[')).map(|line| line.split_whitespace().count()).sum();
            assert_eq!(names(list).count(), words, "{class:?}");
            for (section, name) in names(list) {
                assert!(
                    REVIEWED.contains(section.majors.start()) && REVIEWED.contains(section.majors.end()),
                    "{name}"
                );
                assert!(section.majors.start() <= section.majors.end(), "{name}");
                assert!(!name.contains(|c: char| !(c.is_ascii_alphanumeric() || c == '_')), "{name}");
            }
        }
    }

    #[test]
    fn no_name_of_one_origin_is_on_two_lists_or_twice_on_one() {
        let mut seen = BTreeMap::new();
        for (class, list) in LISTS {
            for (section, name) in names(list) {
                let before = seen.insert((section.origin, name), class);
                assert_eq!(before, None, "{name} of {} is {class:?}, too", section.origin);
            }
        }
        assert!(seen.len() > 2_500, "{}", seen.len());
    }

    #[test]
    fn only_what_is_harmless_depends_on_the_major() {
        for (class, list) in LISTS.iter().filter(|(class, _)| *class != Class::Harmless) {
            for (section, name) in names(list) {
                assert_eq!(section.majors, REVIEWED, "{class:?} {name}");
            }
        }
    }

    #[test]
    fn traps_have_the_class_of_what_they_do() {
        let table = [
            (
                Class::RunsText,
                "query_to_xml table_to_xml schema_to_xml database_to_xml cursor_to_xml ts_stat",
            ),
            (Class::RunsText, "ts_rewrite currtid2 domain_in array_in record_in pg_input_is_valid"),
            (
                Class::ServerFile,
                "pg_read_file pg_read_binary_file pg_ls_dir pg_ls_waldir pg_ls_logdir pg_stat_file",
            ),
            (Class::ServerFile, "lo_import lo_export pg_current_logfile"),
            (Class::LargeObject, "lo_get lo_put lo_from_bytea lo_create lo_unlink lo_open loread lowrite"),
            (Class::Sequence, "nextval setval"),
            (Class::LockTable, "pg_advisory_lock pg_try_advisory_xact_lock_shared"),
            (Class::Notify, "pg_notify"),
            (Class::OtherSession, "pg_terminate_backend pg_cancel_backend pg_log_backend_memory_contexts"),
            (
                Class::Replicate,
                "pg_promote pg_switch_wal pg_create_restore_point pg_logical_slot_peek_changes",
            ),
            (Class::Replicate, "pg_drop_replication_slot pg_backup_start pg_start_backup pg_export_snapshot"),
            (Class::Replicate, "pg_logical_emit_message pg_replication_origin_drop pg_wal_replay_pause"),
            (Class::Configure, "set_config pg_reload_conf pg_rotate_logfile pg_import_system_collations"),
            (
                Class::Maintain,
                "pg_stat_reset pg_stat_reset_shared pg_restore_attribute_stats gin_clean_pending_list",
            ),
            (Class::Secret, "pg_stat_get_activity pg_stat_get_backend_activity pg_hba_file_rules"),
            (Class::Secret, "pg_mcv_list_items pg_show_all_file_settings pg_prepared_statement pg_cursor"),
        ];
        for (class, names) in table {
            for major in REVIEWED {
                check(Some(class), major, Origin::Catalog, names);
            }
        }
    }

    #[test]
    fn their_honest_neighbours_are_harmless() {
        let names = "xpath xmlconcat2 to_tsvector ts_headline ts_rank querytree currval lastval now pg_sleep version \
            pg_size_pretty pg_total_relation_size pg_get_viewdef pg_get_functiondef current_setting count array_agg \
            pg_advisory_unlock pg_advisory_unlock_all pg_current_xact_id txid_current pg_backend_pid upper int4pl \
            json_populate_record generate_series has_table_privilege pg_describe_object pg_blocking_pids \
            pg_get_statisticsobjdef pg_current_wal_lsn pg_is_in_recovery _pg_expandarray current_query random \
            array_agg_transfn pg_stat_clear_snapshot tsvector_update_trigger pg_stat_get_numscans regclassin textout";
        for major in REVIEWED {
            check(Some(Class::Harmless), major, Origin::Catalog, names);
        }
    }

    #[test]
    fn functions_of_extensions_are_known_under_their_extension_only() {
        let table = [
            ("dblink", Class::Egress, "dblink dblink_exec dblink_connect dblink_send_query"),
            ("dblink", Class::RunsText, "dblink_build_sql_insert"),
            ("tablefunc", Class::RunsText, "crosstab connectby crosstab4"),
            ("xml2", Class::RunsText, "xpath_table"),
            ("xml2", Class::ServerFile, "xslt_process"),
            ("adminpack", Class::ServerFile, "pg_file_write pg_file_unlink"),
            ("pageinspect", Class::Secret, "get_raw_page bt_page_items heap_page_items"),
            ("pg_walinspect", Class::Secret, "pg_get_wal_records_info"),
            ("pg_stat_statements", Class::Secret, "pg_stat_statements"),
            ("pg_stat_statements", Class::Maintain, "pg_stat_statements_reset"),
            ("pg_buffercache", Class::Maintain, "pg_buffercache_evict"),
            ("pg_trgm", Class::Configure, "set_limit"),
            ("lo", Class::LargeObject, "lo_manage"),
            ("refint", Class::RunsText, "check_foreign_key"),
            ("pg_trgm", Class::Harmless, "similarity show_trgm word_similarity"),
            ("hstore", Class::Harmless, "hstore each akeys fetchval"),
            ("pgcrypto", Class::Harmless, "digest crypt gen_salt gen_random_uuid"),
            ("uuid-ossp", Class::Harmless, "uuid_generate_v4"),
            ("citext", Class::Harmless, "citext_eq regexp_match max"),
            ("postgres_fdw", Class::Harmless, "postgres_fdw_get_connections"),
            ("vector", Class::Harmless, "l2_distance cosine_distance vector_dims halfvec_to_vector avg"),
        ];
        for (extension, class, names) in table {
            check(Some(class), 15, Origin::Extension(extension), names);
        }
        check(None, 15, Origin::Extension("hstore"), "upper digest pg_read_file");
        check(None, 15, Origin::Extension("pg_catalog"), "upper");
        check(None, 15, Origin::Catalog, "digest similarity dblink pg_file_write");
    }

    #[test]
    fn a_function_is_known_from_the_major_that_has_it() {
        let table = [
            ("string_to_table", 14..=18),
            ("regexp_like", 15..=18),
            ("any_value", 16..=18),
            ("to_regtypemod", 17..=18),
            ("uuidv7", 18..=18),
            ("numeric_fac", 13..=13),
            ("pg_backup_start_time", 13..=14),
            ("pg_timezone_abbrevs", 13..=17),
            ("lower", 13..=18),
        ];
        for (name, majors) in table {
            for major in 12..=19 {
                let class = majors.contains(&major).then_some(Class::Harmless);
                check(class, major, Origin::Catalog, name);
            }
        }
    }

    #[test]
    fn what_was_never_looked_at_has_no_class() {
        check(None, 15, Origin::Catalog, "no_such_function UPPER binary_upgrade_set_next_pg_type_oid");
        check(None, 15, Origin::Catalog, "fmgr_sql_validator plpgsql_call_handler RI_FKey_cascade_del");
        check(None, 15, Origin::Extension("pg_surgery"), "heap_force_kill");
        check(None, 15, Origin::Extension("earthdistance"), "ll_to_earth");
        check(None, 15, Origin::Extension("postgis"), "st_astext");
    }

    #[test]
    fn heads_of_sections_say_their_majors() {
        let table = [
            ("[pg_catalog]", Some(("pg_catalog", REVIEWED))),
            ("[pg_catalog 14-]", Some(("pg_catalog", 14..=18))),
            ("[uuid-ossp -13]", Some(("uuid-ossp", 13..=13))),
            ("[pg_catalog 14-16]", Some(("pg_catalog", 14..=16))),
            ("[pg_catalog 14]", None),
            ("[pg_catalog x-]", None),
            ("pg_catalog", None),
        ];
        for (line, want) in table {
            let want = want.map(|(origin, majors)| Section { origin, majors });
            assert_eq!(Section::parse(line), want, "{line}");
        }
    }
}
