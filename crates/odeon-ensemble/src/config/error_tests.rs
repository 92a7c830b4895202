//! Every error of a configuration: its code, its place, its advice.

use super::tests::bad;

/// Each text has one error: its code, its place, and a part of what it says.
#[test]
fn each_error_has_its_code_place_and_advice() {
    let cases = [
        ("[roles.web]\nwokers = 2", "unknown-key", 2, 1, "did you mean `workers`?"),
        ("[roles.web]\nzebra = 2", "unknown-key", 2, 1, "the keys are `exe`, `args`"),
        ("dommain = '/'\n[roles.web]", "unknown-key", 1, 1, "did you mean `domain`?"),
        ("[registry]\nlisen = []\n[roles.web]", "unknown-key", 2, 1, "did you mean `listen`?"),
        ("config = 'ensemble-v9'\n[roles.web]", "unknown-format", 1, 10, "ensemble-v0"),
        ("[roles.web]\nworkers = '2'", "bad-type", 2, 11, "expected a whole number"),
        ("[roles.web]\nargs = 'x'", "bad-type", 2, 8, "expected a list of strings"),
        ("[roles.web]\nargs = ['x', 7]", "bad-type", 2, 14, "`args` is a whole number"),
        ("[roles.web]\nenv = ['A=B']", "bad-type", 2, 7, "expected a table"),
        ("[roles.web]\nenv = { A = 1 }", "bad-type", 2, 13, "`A` is a whole number"),
        ("[roles.web]\nstop-grace = 5", "bad-type", 2, 14, "expected a string"),
        ("[roles.web]\nsettings = 1", "bad-type", 2, 12, "expected a table"),
        ("roles = 5", "bad-type", 1, 9, "expected a table"),
        ("roles.web = 5", "bad-type", 1, 13, "expected a table"),
        ("[roles.web]\nneeds = ['dv']\n[roles.db]", "unknown-role", 2, 10, "did you mean `db`?"),
        ("[roles.web]\nneeds = ['zebra']\n[roles.db]", "unknown-role", 2, 10, "the other roles are `db`"),
        ("[roles.web]\nneeds = ['db']", "unknown-role", 2, 10, "no other role"),
        ("[roles.web]\nneeds = ['D B']", "bad-name", 2, 10, "the name of a role"),
        ("[roles.web]\nneeds = ['web']", "needs-cycle", 2, 10, "`web` needs `web`"),
        (
            "[roles.a]\nneeds=['b']\n[roles.b]\nneeds=['c']\n[roles.c]\nneeds=['b']",
            "needs-cycle",
            6,
            8,
            "a circle of needs: `b` needs `c` needs `b`",
        ),
        (
            "[roles.web]\nworkers=2\n[roles.xeb]\nservers=['a', 'web-1']",
            "duplicate-id",
            4,
            15,
            "`web-1` of role `xeb` is one of role `web` as well",
        ),
        ("[roles.web]\nservers=['a', 'a']", "duplicate-id", 2, 15, "`a` twice"),
        ("[roles.web]\nservers=['registry']", "duplicate-id", 2, 10, "the ensemble's own registry"),
        ("[roles.web]\nservers=['supervisor']", "duplicate-id", 2, 10, "choose another"),
        ("[roles.web]\nservers=['a@/x']", "bad-name", 2, 10, "without a domain"),
        ("[roles.Web]", "bad-name", 1, 8, "must begin with a lower-case letter"),
        ("domain = 'shop'\n[roles.web]", "bad-name", 1, 10, "must begin with `/`"),
        ("[roles.web]\nlisten = ['127.0.0.1:80']", "bad-address", 2, 11, "`tcp:IP:PORT`"),
        ("[roles.web]\nlisten = ['unix:h:/s']", "bad-address", 2, 11, "expected `tcp:IP:PORT`"),
        ("[roles.web]\nlisten = ['tls:127.0.0.1:1']", "bad-address", 2, 11, "does not take"),
        ("[roles.web]\naddress = ['unix:h:/s']", "bad-address", 2, 12, "`tls:HOST:PORT` or"),
        ("[roles.web]\naddress = ['tls:0.0.0.0:1']", "missing", 2, 12, "add `announce`"),
        ("[supervisor]\nlisten = ['tls:[::]:1']\n[roles.web]", "missing", 2, 11, "add `announce`"),
        (
            "[roles.web]\naddress = ['tls:h:1']\nannounce = ['tls:0.0.0.0:1']",
            "bad-address",
            3,
            13,
            "nobody can reach",
        ),
        ("[roles.web]\naddress = ['tcp:h:1']\nannounce = ['tls:h:0']", "missing", 3, 13, "give the port"),
        ("registry = 'registry@/'\n[roles.web]", "missing", 1, 12, "`\"registry@/\" = [\"tls:HOST:PORT\"]`"),
        ("registry = 'R'\n[roles.web]", "bad-name", 1, 12, "such as `registry@/`"),
        ("registry = 1\n[roles.web]", "bad-type", 1, 12, "expected a table"),
        ("[known]\nX = ['tls:h:1']\n[roles.web]", "bad-name", 2, 1, "`\"registry@/\"`"),
        ("[known]\nx = ['tls:h:0']\n[roles.web]", "bad-address", 2, 6, "at which the server listens"),
        ("[known]\nx = 'tls:h:1'\n[roles.web]", "bad-type", 2, 5, "a list of strings"),
        ("tls = 'yes'\n[roles.web]", "bad-type", 1, 7, "expected true or false"),
        ("tls = false\n[roles.web]\naddress = ['tls:h:1']", "conflict", 3, 12, "remove `tls = false`"),
        (
            "[supervisor]\nlisten = ['tls:h:1']\n[roles.web]\naddress = ['tcp:h:1']",
            "duplicate-address",
            4,
            12,
            "taken by the supervisor",
        ),
        ("[registry]\nlisten = ['tcp:h']\n[roles.web]", "bad-address", 2, 11, "port is missing"),
        (
            "[roles.a]\nlisten=['tcp:[::1]:1']\n[roles.b]\nlisten=['tcp:[::1]:1']",
            "duplicate-address",
            4,
            9,
            "taken by role `a`",
        ),
        ("[roles.a]\nlisten=['tcp:localhost:1']", "bad-address", 2, 9, "takes IP addresses"),
        ("[roles.a]\nworkers=2\naddress=['tcp:h:1']", "duplicate-address", 3, 10, "cannot share"),
        ("[roles.web]\nworkers = 0", "out-of-range", 2, 11, "from 1 to 1024"),
        ("[roles.web]\nworkers = 1025", "out-of-range", 2, 11, "from 1 to 1024"),
        ("[roles.web]\nworkers = -1", "out-of-range", 2, 11, "`workers` is -1"),
        ("[roles.web]\nservers = []", "out-of-range", 2, 11, "at least one"),
        ("[roles.web]\nrestart-max = 1001", "out-of-range", 2, 15, "from 0 to 1000"),
        ("[roles.web]\nlog-files-max = 0", "out-of-range", 2, 17, "from 1 to 100"),
        ("[roles.web]\nlog-bytes-max = '4095B'", "out-of-range", 2, 17, "4096B or more"),
        ("[roles.web]\nbackoff-min = '0s'", "out-of-range", 2, 15, "from 10ms"),
        ("[roles.web]\nrestart-window = '999ms'", "out-of-range", 2, 18, "from 1s"),
        ("[roles.web]\nstop-grace = '3601s'", "out-of-range", 2, 14, "to 3600s"),
        ("[roles.web]\nsettings = { a = nan }", "out-of-range", 2, 18, "finite"),
        ("[roles.web]\nsettings.a = 9223372036854775808", "out-of-range", 2, 14, "64 bits"),
        ("[roles.web]\nworkers=1\nservers=['a']", "conflict", 2, 9, "both `workers` and `servers`"),
        ("[roles.web]\nbackoff-min='2s'\nbackoff-max='1s'", "conflict", 2, 13, "longer than"),
        ("[roles.web]\nbackoff-min='31s'", "conflict", 2, 13, "(30s)"),
        ("[roles.web]\nexe = ''", "bad-value", 2, 7, "\"self\""),
        ("[roles.web]\nexe = \"a\\u0000\"", "bad-value", 2, 7, "zero byte"),
        ("[roles.web]\nrestart = 'allways'", "bad-value", 2, 11, "did you mean `always`?"),
        ("[roles.web]\nrestart = 'yes'", "bad-value", 2, 11, "`on-failure` and `never`"),
        ("[roles.web]\nstop-grace = '5 seconds'", "bad-value", 2, 14, "`250ms`"),
        ("[roles.web]\nlog-bytes-max = '10 megs'", "bad-value", 2, 17, "`10MB`"),
        ("[roles.web]\nenv = { 'A=B' = 'c' }", "bad-name", 2, 9, "without `=`"),
        ("domain = '/'", "missing", 1, 1, "[roles.NAME]"),
        ("", "missing", 1, 1, "describes no role"),
        ("[roles.web]\nworkers 2", "syntax", 2, 9, "expected"),
        ("[roles.web]\nexe='a'\nexe='b'", "syntax", 3, 1, "duplicate key"),
    ];
    for (text, code, line, column, part) in cases {
        let errors = bad(text);
        let shown = errors.to_string();
        assert_eq!(errors.errors.len(), 1, "{text}\n{shown}");
        let error = &errors.to_json()["errors"][0];
        assert_eq!(
            (error["code"].as_str(), error["line"].as_u64(), error["column"].as_u64()),
            (Some(code), Some(line), Some(column)),
            "{shown}"
        );
        assert!(shown.contains(part), "{part} is not in\n{shown}");
        assert_eq!(error["file"], "odeon.toml");
        assert!(code == "syntax" || error["help"].is_string(), "{shown}");
    }
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_text() {
    let errors = bad("[roles.web]\nwokers = 2\nstop-grace = 5\nneeds = ['dv']\n[roles.db]\nexe = ''\n");
    let found: Vec<_> =
        errors.errors.iter().map(|e| (e.code.as_str(), e.position.expect("a place").line)).collect();
    let expected = [("unknown-key", 2), ("bad-type", 3), ("unknown-role", 4), ("bad-value", 6)];
    assert_eq!(found, expected);
    assert_eq!(
        errors.to_string().split("\n\n").next().expect("the first"),
        "error[unknown-key]: unknown key `wokers` in `[roles.web]`\n --> odeon.toml:2:1\n  |\n2 | wokers = 2\n  | ^^^^^^\n  = help: did you mean `workers`?"
    );
}
