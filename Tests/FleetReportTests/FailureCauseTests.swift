import FleetReport
import FleetRollout
import Testing

/// Output as the programs print it, and the line that a person would look for.
struct FailureCauseTests {
    @Test(
        "The line that says why is found in the output of",
        arguments: [
            (
                "git",
                """
                Cloning into 'app'...
                git@example.com: Permission denied (publickey).
                fatal: Could not read from remote repository.

                Please make sure you have the correct access rights
                and the repository exists.
                """, "fatal: Could not read from remote repository."
            ),
            (
                "git with advice",
                """
                error: Your local changes to the following files would be overwritten by checkout:
                \tapp.py
                Please commit your changes or stash them before you switch branches.
                Aborting
                """,
                "error: Your local changes to the following files would be overwritten by checkout:"
            ),
            (
                "pip",
                """
                Collecting flask==99
                ERROR: Could not find a version that satisfies the requirement flask==99 (from versions: 3.0.0)
                ERROR: No matching distribution found for flask==99
                WARNING: You are using pip version 22.0
                """, "ERROR: No matching distribution found for flask==99"
            ),
            (
                "pytest",
                """
                E       assert 1 == 2
                =========================== short test summary info ============================
                FAILED tests/test_app.py::test_health - assert 1 == 2
                FAILED tests/test_app.py::test_other - KeyError: 'x'
                ========================= 2 failed, 5 passed in 0.12s ==========================
                """, "FAILED tests/test_app.py::test_health - assert 1 == 2"
            ),
            (
                "npm",
                """
                npm error code ERESOLVE
                npm error ERESOLVE unable to resolve dependency tree
                npm error
                npm error A complete log of this run can be found in: /root/.npm/_logs/1.log
                """, "npm error ERESOLVE unable to resolve dependency tree"
            ),
            (
                "systemd",
                """
                Job for app.service failed because the control process exited with error code.
                See "systemctl status app.service" and "journalctl -xeu app.service" for details.
                """,
                "Job for app.service failed because the control process exited with error code."
            ),
            ("sudo", "sudo: a password is required\n", "sudo: a password is required"),
            (
                "docker",
                """
                Unable to find image 'app:9' locally
                docker: Error response from daemon: manifest for app:9 not found.
                See 'docker run --help'.
                """, "docker: Error response from daemon: manifest for app:9 not found."
            ),
            (
                "Python",
                """
                Traceback (most recent call last):
                  File "manage.py", line 3, in <module>
                    import django
                ModuleNotFoundError: No module named 'django'
                """, "ModuleNotFoundError: No module named 'django'"
            ),
            (
                "a shell", "building\nsh: 1: webpack: not found\ncleaning up\n",
                "sh: 1: webpack: not found"
            ),
        ]
    )
    func cause(_ program: String, _ output: String, _ line: String) {
        #expect(FailureCause.line(in: output) == line, "\(program)")
    }

    @Test("Nothing is found in nothing, and what a host prints cannot move the cursor")
    func edges() {
        #expect(FailureCause.line(in: " \n\n") == nil)
        let failure = Failure("exited 1", excerpt: "fatal: \u{1B}[2Jno")
        #expect(FailureCause.summary(of: failure) == "exited 1: fatal: ␛[2Jno")
        let long = FailureCause.line(in: "fatal: " + String(repeating: "x", count: 5000))
        #expect((long?.count ?? 0) <= 160)
    }

    @Test("A bare exit status is followed by the cause; a sentence of fleet's own stands alone")
    func summaries() {
        #expect(
            FailureCause.summary(of: Failure("exited 128", excerpt: "fatal: no\nhelp"))
                == "exited 128: fatal: no"
        )
        #expect(FailureCause.summary(of: Failure("exited 1")) == "exited 1")
        #expect(
            FailureCause.summary(of: Failure("E_DIRTY the tree has changes", excerpt: "a\nb"))
                == "E_DIRTY the tree has changes"
        )
    }
}
