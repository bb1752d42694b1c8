use super::NoNames;
use super::tests::catalog;
use super::*;

/// On a stack such as sessions have.
fn read(text: &str, steps: usize) -> Result<Analysis, Refusal> {
    let read = || {
        let path = ["pg_catalog".to_owned(), "shop".to_owned()];
        let session =
            Session { catalog: catalog(), search_path: &path, role: "postgres", prepared: &NoNames };
        analyse(text, &session, &Options { work: Work::of(steps), ..Options::default() })
    };
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(16 * 1024 * 1024).spawn_scoped(scope, read);
        thread.expect("a thread").join().expect("it is read")
    })
}

fn nested(levels: usize, list: &str, core: &str) -> String {
    (0..levels).fold(core.to_owned(), |inside, level| format!("select {list} from ({inside}) a{level}"))
}

/// So many statements of which each does something else.
fn several(count: usize) -> String {
    (0..count).map(|n| format!("select f{n}();")).collect()
}

#[test]
fn what_multiplies_is_refused_as_the_server_does_or_for_its_work() {
    let recursive = (0..20).fold("select 1 as x".to_owned(), |inside, level| {
        format!(
            "with recursive r{level} as ({inside} union all select x from r{level}) select x from r{level}"
        )
    });
    let stars = vec!["*"; 60_000].join(",");
    for (text, code) in [
        (nested(30, "*,*", "select 1 as x"), "54011"),
        (format!("select {stars} from customers"), "54011"),
        (format!("values ({})", vec!["1"; 1_665].join(",")), "54011"),
        (format!("select (values ({})) from customers t", vec!["t.*"; 2_000].join(",")), "54011"),
        (format!("insert into customers(id) values (1) returning {stars}"), "54011"),
        (format!("create view v as {}", nested(30, "*,*", "select 1 as x")), "54011"),
        (format!("prepare p as {}", nested(30, "*,*", "select 1 as x")), "54011"),
        (nested(40, "row(x,x) as x", "select row(1,2) as x"), "54001"),
        (recursive, "54001"),
        (several(10_001), "54001"),
    ] {
        let shown: String = text.chars().take(80).collect();
        let refused = read(&text, 100_000).err().unwrap_or_else(|| panic!("{shown}"));
        assert_eq!(refused.sqlstate(), code, "{shown}: {refused}");
    }
}

#[test]
fn what_people_write_is_read_with_little_work() {
    let rows = vec!["(1, 'a', 2.5)"; 10_000].join(",");
    for (text, steps) in [
        ("select 1".to_owned(), 20),
        (nested(2, "*,*", "select 1 as x"), 100),
        (nested(50, "*", "select * from customers"), 1_000),
        (format!("select {} from customers", vec!["*"; 100].join(",")), 2_000),
        (
            "select c.*, o.* from customers c join orders o on o.customer_id = c.id where c.id in (1, 2, 3)"
                .to_owned(),
            500,
        ),
        (format!("select * from (values {rows}) v"), 100_000),
        (several(1_000), 50_000),
    ] {
        let shown: String = text.chars().take(80).collect();
        if let Err(refused) = read(&text, steps) {
            panic!("{shown}: {refused}");
        }
    }
}

#[test]
fn a_text_may_have_a_long_value_and_not_as_many_words() {
    let options = Options { wordiest: 1_000, ..Options::default() };
    let session = Session { catalog: catalog(), search_path: &[], role: "postgres", prepared: &NoNames };
    assert!(analyse(&format!("select '{}'", "a, ".repeat(10_000)), &session, &options).is_ok());
    let refused = analyse(&format!("select 1{}", ",1".repeat(1_000)), &session, &options).unwrap_err();
    assert_eq!(refused.sqlstate(), "54001");
}

#[test]
fn it_ends_when_it_is_told_to() {
    let work = Work::default();
    work.stop();
    let session = Session { catalog: catalog(), search_path: &[], role: "postgres", prepared: &NoNames };
    let refused = analyse("select 1", &session, &Options { work, ..Options::default() }).unwrap_err();
    assert_eq!(refused, Refusal::TooMuchWork);
}
