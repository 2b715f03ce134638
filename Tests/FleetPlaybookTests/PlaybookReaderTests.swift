import FleetPlaybook
import FleetTestSupport
import FleetTransport
import FleetYAML
import Foundation
import Testing

struct PlaybookReaderTests {
    private func read(_ text: String) throws -> Playbook {
        try PlaybookReader.read(text, file: "playbooks/test.yml", defaultName: "test")
    }

    private func problems(_ text: String) -> [Diagnostic] {
        do {
            _ = try read(text)
            return []
        } catch let error as Diagnostics {
            return error.all
        } catch {
            return [Diagnostic("\(error)")]
        }
    }

    private func scope(_ variables: [String: String] = [:]) -> StepScope {
        StepScope(
            environment: "test",
            endpoint: HostEndpoint(name: "a"),
            variables: variables,
            release: nil
        )
    }

    @Test("A script may stand alone, or beside the command that says what must come back")
    func runs() throws {
        #expect(problems("steps: [{ run: { script: make, digest: pip freeze } }]").isEmpty)
        #expect(
            problems("steps: [{ run: { digest: pip freeze } }]").map(\.message) == [
                "`run` needs `script`"
            ]
        )
        #expect(problems("steps: [{ run: { script: '' } }]").map(\.message) == ["`run` is empty"])
    }

    @Test(
        "What would always pass because it is blank is refused",
        arguments: [
            ("smoke: [{ command: '' }]", "`command` is empty"),
            ("smoke: [{ command: \"  \\n\\t\" }]", "`command` is empty"),
            ("smoke: [{ command: \"# later\\n  # more\" }]", "`command` is empty"),
            ("smoke: [{ http: { url: 'http://a', contains: '' } }]", "`contains` is empty"),
            ("smoke: [{ http: { url: '' } }]", "`url` is empty"),
            ("steps: [{ backup: { command: ' ', directory: /b } }]", "`command` is empty"),
            (
                "steps: [{ backup: { command: 'x', check: '', directory: /b } }]",
                "`check` is empty"
            ),
            ("steps: [{ service: { name: a, control: '' } }]", "`control` is empty"),
            ("steps: [{ checkout: { path: '' } }]", "`path` is empty"),
            ("steps: [{ upload: { source: '', destination: /x } }]", "`source` is empty"),
        ]
    )
    func blank(text: String, message: String) {
        #expect(problems(text).map(\.message).contains(message), "\(problems(text))")
    }

    @Test("Two commands that back up into one directory are refused, where a host may take both")
    func commandBackups() {
        func steps(_ first: String, _ second: String) -> [String] {
            problems(
                "steps: [{ name: a, backup: { \(first) } }, { name: b, backup: { \(second) } }]"
            ).map(\.message)
        }
        let message = "`b` and `a` back up into one directory"
        #expect(steps("command: x, directory: /b", "command: y, directory: /b") == [message])
        #expect(steps("command: x, directory: /b", "command: y, directory: /c").isEmpty)
        #expect(steps("command: x, directory: /b", "database: /y, directory: /b").isEmpty)
        let apart = """
            steps:
              - { name: a, when: [web], backup: { command: x, directory: /b } }
              - { name: b, when: [db], backup: { command: y, directory: /b } }
            """
        #expect(problems(apart).isEmpty)
    }

    @Test("A script with a comment in it is a script")
    func comments() {
        #expect(problems("smoke: [{ command: \"# why\\ntest -f x\" }]").isEmpty)
        #expect(problems("smoke: [{ http: { url: 'http://a', contains: '# ok' } }]").isEmpty)
    }

    @Test("A variable says as whom a step runs; nothing is the login account")
    func becomeUser() throws {
        func user(_ keys: String, _ variables: [String: String] = [:]) throws -> String? {
            let text = "steps: [{ run: id, \(keys) }]"
            let playbook = try PlaybookReader.read(text, file: "p", defaultName: "p")
            return try scope(variables).user(of: try #require(playbook.steps.first))
        }
        #expect(try user("sudo: true") == "root")
        #expect(try user("sudo: true, become_user: app") == "app")
        #expect(try user("timeout: 1s") == nil)
        let variable = "become_user: \"${{ vars.who }}\""
        #expect(try user(variable, ["who": "app"]) == "app")
        #expect(try user(variable, ["who": ""]) == nil)
        #expect(throws: UndefinedReference.self) { try user(variable, ["who": "-x; id"]) }
        #expect(throws: UndefinedReference.self) { try user(variable) }
        #expect(throws: Diagnostics.self) { try user("become_user: \"a b\"") }
    }

    @Test(
        "A step that needs a backup is refused where none is made before it, on every host",
        arguments: [
            ("", false), ("{ name: b, backup: { database: d, directory: e } }", true),
            ("{ name: b, when: db, backup: { database: d, directory: e } }", false),
            ("{ name: b, run_once: true, backup: { database: d, directory: e } }", false),
        ]
    )
    func needsBackup(_ before: String, _ isAccepted: Bool) {
        let text = """
            steps:
              - { name: first, run: "true" }
            \(before.isEmpty ? "" : "  - " + before)
              - { name: migrate, run: ./migrate, irreversible: true, needs_backup: true }
            """
        do throws(Diagnostics) {
            let playbook = try PlaybookReader.read(text, file: "p.yml", defaultName: "p")
            #expect(isAccepted && playbook.steps.last?.needsBackup == true)
        } catch {
            #expect(
                !isAccepted && error.rendered.contains("`migrate` needs a backup"),
                "\(error.rendered)"
            )
        }
    }

    @Test func readsEveryKeyOfAStep() throws {
        let playbook = try read(
            """
            name: Everything
            vars: { a: b }
            serial: [1, "25%", "100%"]
            fanout: 7
            max_failures: 2
            steps:
              - name: install
                run: pip install
                timeout: 90s
                retries: 3
                env: { X: "1" }
                cwd: /srv
                become_user: app
                when: [web, db]
                run_once: true
                idempotent: true
                irreversible: true
            """
        )
        #expect(playbook.name == "Everything")
        #expect(playbook.strategy.serial == [.hosts(1), .percent(25), .percent(100)])
        #expect(playbook.strategy.fanout == 7)
        #expect(playbook.strategy.maxFailures == 2)
        let step = try #require(playbook.steps.first)
        #expect(step.timeoutMilliseconds == 90_000)
        #expect(step.retries == 3)
        #expect(try scope().user(of: step) == "app")
        #expect(step.whenGroups == ["web", "db"])
        #expect(step.runsOnce && step.isIdempotent && step.isIrreversible)
    }

    @Test func everyStepHasADeadline() throws {
        let playbook = try read("steps:\n  - run: x\n  - wait: 1s\n  - service: { name: a }\n")
        #expect(playbook.steps.allSatisfy { $0.timeoutMilliseconds > 0 })
        #expect(problems("steps:\n  - run: x\n    timeout: 0s\n").count == 1)
    }

    @Test func onlyRunIsNotIdempotentByItself() throws {
        let playbook = try read(
            """
            steps:
              - run: x
              - checkout: { path: /srv/app }
              - upload: { source: a, destination: /b }
              - service: { name: a }
              - wait: 1s
            """
        )
        #expect(playbook.steps.map(\.isIdempotent) == [false, true, true, true, true])
    }

    @Test func findsAllProblemsInOnePass() {
        let found = problems(
            """
            nmae: x
            serial: [0, "200%"]
            steps:
              - run: x
                retires: 3
              - name: run
                run: ''
              - shell: y
              - run: a
                wait: 1s
              - service: { name: a, state: restated }
              - checkout: {}
              - upload: { source: a, destination: b, mode: rw }
              - run: x
                env: { LD_PRELOAD: evil, "a-b": c }
            smoke:
              - http: ftp://x
              - passes: 3
            """
        )
        let messages = found.map(\.message)
        for expected in [
            "unknown key `nmae` in a playbook", "`0` is not a batch size",
            "`200%` is not a batch size", "unknown key `retires` in a step", "`run` is empty",
            "the step does nothing", "the step does 2 things at once",
            "`restated` is not a state of a service", "`checkout` needs `path`",
            "`rw` is not a file mode", "`LD_PRELOAD` is reserved", "`a-b` cannot name a variable",
            "the smoke test asks nothing",
        ] {
            #expect(messages.contains(expected), "\(expected) is missing in \(messages)")
        }
        #expect(found.allSatisfy { $0.location?.file == "playbooks/test.yml" })
        #expect(found.first { $0.message.contains("nmae") }?.hints == ["did you mean `name`?"])
        #expect(
            found.first { $0.message.contains("restated") }?.hints.first
                == "did you mean `restarted`?"
        )
    }

    @Test func refusesStepsOfTheSameName() {
        #expect(
            problems("steps:\n  - run: a\n  - run: b\n").map(\.message) == [
                "another step is named `run`"
            ]
        )
    }

    @Test func refusesAPlaybookWithoutSteps() {
        #expect(
            problems("name: x\n").map(\.message) == [
                "a playbook needs `steps`, or `smoke` to ask only"
            ]
        )
        #expect(problems("smoke: [{ command: 'true' }]\n").isEmpty)
        #expect(problems("steps: []\n").map(\.message) == ["`steps` is empty"])
    }

    @Test func batchesAreAnsibles() {
        let hosts = Array(1...6)
        func batches(_ serial: [BatchSize]) -> [[Int]] {
            Strategy(serial: serial).batches(of: hosts)
        }
        #expect(batches([.hosts(1), .percent(25), .percent(100)]) == [[1], [2], [3, 4, 5, 6]])
        #expect(batches([.hosts(4)]) == [[1, 2, 3, 4], [5, 6]])
        #expect(batches([.percent(50)]) == [[1, 2, 3], [4, 5, 6]])
        #expect(batches([.percent(1)]) == hosts.map { [$0] })
    }

    @Test func readsThePlaybooksThatShip() throws {
        for name in ["deploy", "restart"] {
            let path = Package.root + "/playbooks/\(name).yml"
            let text = try String(contentsOfFile: path, encoding: .utf8)
            let playbook = try PlaybookReader.read(text, file: path, defaultName: name)
            #expect((playbook.releaseStep != nil) == (name == "deploy"))
            #expect(!playbook.smoke.isEmpty)
        }
    }
}
