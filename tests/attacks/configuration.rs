//! C: what is written down, and by whom.
use std::fs;

use tipstaff_testkit::Scratch;

use crate::attacks;
use crate::case::Case;

attacks! {
    C1 "a missing feature that nobody is told of" => held("crates/policy/src/lower/tests.rs": what_is_missing_is_refused_or_named_never_silent
        best_effort_turns_refusals_into_named_weaknesses, "tests/tests/bad_input.rs": engines_that_cannot_be_had_are_refused_clearly);
    C2 "the rules of this run, or of the next, rewritten from inside" => tried(native notify ptrace: rewritten_rules);
    C3 "a mistake in a profile that drops a rule" => tried(native notify ptrace: broken_profiles)
        + held("tests/tests/bad_input.rs": wrong_toml_drops_no_rule unknown_profile_key_names_line_and_nearest nothing_is_started);
    C4 "a check that passes where nothing is enforced" => held("tests/attacks/catalogue.rs": every_attack_has_its_control);
}

fn rewritten_rules(case: &Case) {
    let scratch = Scratch::new(case.user);
    let dir = scratch.dir("project");
    scratch.file("project/rules/base.toml", "extends = \"agent\"\n");
    let profile = scratch.file("project/own.toml", "extends = \"rules/base.toml\"\n");
    let script = "for f in own.toml rules/base.toml; do echo x > $f; echo x >> $f; rm -f $f; mv $f $f.old; ln -f /etc/passwd $f; echo x > $f.new && mv -f $f.new $f; done; \
                  mv rules old; mkdir rules; echo x > rules/base.toml; echo made > other; true";
    let ran = case.boxed(["/bin/sh", "-c", script]).option("--profile", &profile).cwd(&dir).go();
    ran.expect_ok();
    let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
    ran.check(text("own.toml") == "extends = \"rules/base.toml\"\n", "the profile was rewritten");
    ran.check(text("rules/base.toml") == "extends = \"agent\"\n", "what it extends was rewritten");
    ran.check(text("other") == "made\n", "the control: what is no profile can be written");
}

fn broken_profiles(case: &Case) {
    for text in [
        "[syscalls]\ndeny = [\"mkdir\"\n",
        "[limits]\ncpu = 1\n[limits]\n",
        "extends = \"judge\"\n[filesytem]\n",
        "\u{feff}[network]\nallow = [\"\"]\n",
    ] {
        let ran = case
            .boxed(["/bin/echo", "started"])
            .work_file("p.toml", text)
            .option("--profile", "@WORK/p.toml")
            .without_report()
            .go();
        ran.expect_exit(125);
        ran.check(ran.stdout.is_empty(), "it was started all the same");
    }
    // The control: without a mistake.
    let run = case
        .boxed(["/bin/echo", "started"])
        .work_file("p.toml", "extends = \"default\"\n[syscalls]\ndeny = [\"mkdir\"]\n");
    run.option("--profile", "@WORK/p.toml").go().expect_ok().expect_stdout("started\n");
}
