//! The pages, as whoever speaks HTTP sees them. What needs a browser is among the end-to-end tests.

use super::start;

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(": ")?;
        key.eq_ignore_ascii_case(name).then_some(value)
    })
}

#[tokio::test]
async fn every_page_tells_browsers_to_let_it_be_and_is_known_by_one_name() {
    let running = start().await;
    let port = running.address.port();
    for (host, path, status, to) in [
        (format!("localhost:{port}"), "/signin", 200, None),
        (format!("localhost:{port}"), "/join", 200, None),
        (format!("localhost:{port}"), "/", 303, Some("/signin?next=/".to_owned())),
        (
            format!("localhost:{port}"),
            "/requests/r1?a=b",
            303,
            Some("/signin?next=/requests/r1%3Fa%3Db".to_owned()),
        ),
        (format!("localhost:{port}"), "/live", 303, Some("/signin?next=/live".to_owned())),
        (
            format!("127.0.0.1:{port}"),
            "/requests/r1",
            307,
            Some(format!("http://localhost:{port}/requests/r1")),
        ),
        ("localhost:1".to_owned(), "/", 307, Some(format!("http://localhost:{port}/"))),
        ("evil.example.com".to_owned(), "/", 421, None),
    ] {
        let head = running.head("GET", path, &format!("Host: {host}\r\n"), "").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{host}{path}: {head}");
        assert_eq!(header(&head, "location"), to.as_deref(), "{host}{path}");
        if status == 421 {
            continue;
        }
        let policy = header(&head, "content-security-policy").expect("a policy");
        for words in [
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "trusted-types",
        ] {
            assert!(policy.contains(words), "{words} is not in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(header(&head, "x-frame-options"), Some("DENY"));
        assert_eq!(header(&head, "x-content-type-options"), Some("nosniff"));
        assert_eq!(header(&head, "cache-control"), Some("no-store"));
        assert!(header(&head, "access-control-allow-origin").is_none());
    }
}

#[tokio::test]
async fn nothing_is_done_for_a_page_of_another_site_or_for_nobody() {
    let running = start().await;
    let own = format!("http://localhost:{}", running.address.port());
    let host = own.trim_start_matches("http://");
    let name = format!("durward-{}", running.address.port());
    for (path, headers, status) in [
        ("/signin/question", format!("Origin: {own}\r\n"), 200),
        ("/signin/question", format!("Origin: {own}\r\nSec-Fetch-Site: same-origin\r\n"), 200),
        ("/signin/question", String::new(), 403),
        ("/signin/question", "Origin: null\r\n".to_owned(), 403),
        ("/signin/question", "Origin: http://evil.example.com\r\n".to_owned(), 403),
        ("/signin/question", format!("Origin: {own}.evil.com\r\n"), 403),
        ("/signin/question", format!("Origin: {own}\r\nOrigin: {own}\r\n"), 403),
        ("/signin/question", format!("Origin: {own}\r\nSec-Fetch-Site: same-site\r\n"), 403),
        ("/requests/r1/answer", format!("Origin: {own}\r\n"), 401),
        ("/requests/r1/answer", format!("Origin: {own}\r\nCookie: {name}=guessed\r\n"), 401),
        // Two sign-ins: another part of this host has set one for some of our paths.
        ("/requests/r1/answer", format!("Origin: {own}\r\nCookie: {name}=guessed; {name}=x\r\n"), 400),
        ("/signout", format!("Origin: {own}\r\n"), 403),
        ("/join", format!("Origin: {own}\r\n"), 422),
    ] {
        let head = running.head("POST", path, &format!("Host: {host}\r\n{headers}"), "a=b").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{path} {headers}: {head}");
    }
    // A secret of the admin API opens no page, and a page's cookie no API.
    let bearer = format!("Host: {host}\r\nAuthorization: Bearer {}\r\n", running.secret);
    assert!(running.head("GET", "/", &bearer, "").await.starts_with("HTTP/1.1 303"));
    let cookie = format!("Host: {host}\r\nCookie: {name}=x\r\n");
    assert!(running.head("GET", "/api/v1/requests", &cookie, "").await.starts_with("HTTP/1.1 401"));
}

#[tokio::test]
async fn an_address_that_cannot_be_read_or_leads_in_a_circle_has_a_page_that_says_so() {
    let running = start().await;
    let port = running.address.port();
    let twice = format!("Cookie: durward-{port}=a; durward-{port}=b\r\n");
    for (path, headers, status, words) in [
        ("/signin?next=/%00", "", 200, "Sign in with a passkey"),
        ("/signin?next=/a&next=/b", "", 400, "cannot be read"),
        ("/requests/r1", twice.as_str(), 400, "brings two sign-ins"),
        ("/signin", twice.as_str(), 200, "Sign in with a passkey"),
    ] {
        let headers = format!("Host: localhost:{port}\r\n{headers}");
        let (said, body) = running.raw("GET", path, &headers, None).await;
        assert!(said == status && body.contains(words) && body.contains("<main"), "{path}: {said} {body}");
    }
}
