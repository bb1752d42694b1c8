use crate::postgres::Postgres;
use crate::process::usage;
use crate::{Account, Scratch, is_root};

#[test]
fn a_scratch_directory_ends_with_its_owner() {
    let scratch = Scratch::new("unit").unwrap();
    std::fs::write(scratch.join("file"), "x").unwrap();
    let path = scratch.path().to_owned();
    drop(scratch);
    assert!(!path.exists());
}

#[test]
fn what_a_dead_process_left_is_swept_and_what_a_live_one_owns_stays() {
    let of = |pid: u32| std::env::temp_dir().join(format!("durward-unit-{pid}-7"));
    // No process has this number: it is beyond the kernel's limit.
    let (dead, live) = (of(4_194_305), of(std::process::id()));
    std::fs::create_dir_all(&dead).unwrap();
    std::fs::create_dir_all(&live).unwrap();
    let _scratch = Scratch::new("unit").unwrap();
    assert!(!dead.exists());
    assert!(live.exists());
    std::fs::remove_dir(live).unwrap();
}

#[test]
fn a_process_has_used_something() {
    assert!(usage(std::process::id()).unwrap().resident > 100_000);
    assert!(usage(4_194_305).is_err());
}

#[test]
fn root_has_another_account_for_servers() {
    use std::os::unix::fs::MetadataExt;
    let account = Account::unprivileged().unwrap();
    let scratch = Scratch::owned_by("unit", &account).unwrap();
    let owner = std::fs::metadata(scratch.path()).unwrap().uid();
    assert_ne!(owner, 0, "a server would run as root");
    assert!(is_root().unwrap() || owner == std::fs::metadata("/proc/self").unwrap().uid());
}

#[test]
fn a_server_answers_and_is_gone_afterwards() {
    let server = Postgres::start(&["log_statement=all"]).unwrap();
    assert_eq!(server.sql("postgres", "SELECT 40 + 2").unwrap().trim(), "42");
    assert!(server.log().contains("SELECT 40 + 2"));
    let (port, directory) = (server.port(), server.directory().to_owned());
    drop(server);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err());
    assert!(!directory.exists());
}
