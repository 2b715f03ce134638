import FleetTestSupport
import Foundation
import Testing

/// A host on which one program lies, on an honest kernel and an honest sh.
///
/// Whatever it says: "verified" is true, "verified back" is true, and where nothing was changed nothing was.
@Suite(.serialized) struct DeceitfulHostTests {
    private let fixture: FleetFixture
    private var home: String { fixture.servers[0].home }

    init() throws {
        fixture = try FleetFixture(hosts: 1, deceitful: true)
        try fixture.directory.write(
            """
            name: Deploy app
            steps:
              - name: pull
                checkout: { path: ~/app, repository: "${{ vars.repository }}" }
              - name: config
                upload: { source: app.conf, destination: ~/app.conf }
              - name: restart
                service: { name: app, control: ~/appctl }
            smoke:
              - name: health
                http: { url: "http://${{ vars.address }}:${{ vars.port }}/health", contains: "${{ release.tag }}" }
                passes: 1
                interval: 100ms
                deadline: 2s
            """,
            to: "project/playbooks/deploy.yml"
        )
        try fixture.directory.write("first\n", to: "project/app.conf")
        let first = try fixture.fleet("deploy", "production", "--tag", "v1.0.0")
        #expect(first.status == 0, "\(first.output)\(first.errors)")
        try Command.shell("cp -a app app.kept; cp app.conf app.conf.kept", in: home)
        try fixture.directory.write("second\n", to: "project/app.conf")
    }

    /// How a program can lie; `$real` is the one that it stands for.
    private static let lies = [
        "silent": "exit 0",
        "never fails": "\"$real\" \"$@\"; exit 0",
        "doubled":
            "o=$(\"$real\" \"$@\"; s=$?; echo x; exit $s); s=$?; printf '%s' \"${o%x}${o%x}\"; exit $s",
        "coloured":
            "\"$real\" \"$@\" >\"$HOME/lie.$$\"; s=$?; sed 's/.*/\u{1B}[31m&\u{1B}[0m/' \"$HOME/lie.$$\"; rm -f \"$HOME/lie.$$\"; exit $s",
        "talking": "echo 'warning: setlocale: LC_ALL: cannot change locale'; exec \"$real\" \"$@\"",
        "elsewhere": "cd /; exec \"$real\" \"$@\"",
        "failing": "echo 'Segmentation fault' >&2; exit 139",
    ]

    /// Lies about one thing only: everything before it is honest, so that it is reached.
    private static let selective = [
        (
            "mv", "leaves the file where it is",
            "case \"$*\" in *../app.conf) exit 0 ;; esac; exec \"$real\" \"$@\""
        ),
        (
            "git", "checks nothing out",
            "case \" $* \" in *' checkout '*) exit 0 ;; esac; exec \"$real\" \"$@\""
        ),
        (
            "git", "moves HEAD only",
            "case \" $* \" in *' checkout '*) for c; do :; done; exec \"$real\" -C \"$HOME/app\" update-ref --no-deref HEAD \"$c\" ;; esac; exec \"$real\" \"$@\""
        ),
        (
            "git", "fetches nothing",
            "case \" $* \" in *' fetch '*) exit 0 ;; esac; exec \"$real\" \"$@\""
        ),
    ]

    /// What a script of fleet's asks, or has done for it.
    private static let programs = [
        "git", "date", "stat", "find", "cmp", "sha256sum", "df", "id", "mktemp", "sed", "awk",
        "grep", "cat", "tail",
        "head", "cut", "tr", "sort", "wc", "readlink", "xargs", "sleep", "setsid", "mkdir", "mv",
        "rm", "rmdir", "ln",
        "cp", "chmod", "ls", "env", "dd", "touch", "basename", "dirname",
    ]

    /// Those of them on whose word a proof stands, or by which something gets its place.
    private static let proofs: Set = [
        "stat", "find", "cmp", "sha256sum", "xargs", "mv", "cp", "readlink", "id", "sort",
    ]

    private func truth() throws -> (files: String, served: String) {
        let files = try Command.shell(
            "/usr/bin/git -C app rev-parse HEAD; cat app/VERSION app.conf; /usr/bin/git -C app status --porcelain --untracked-files=no",
            in: home
        )
        let port = try String(contentsOfFile: home + "/port", encoding: .utf8).trimmingCharacters(
            in: .newlines
        )
        let address = try String(contentsOfFile: home + "/address", encoding: .utf8)
            .trimmingCharacters(in: .newlines)
        // No event: a service that was started says to nobody when it answers.
        let program = """
            import json, sys, time, urllib.request
            # No event: the service that is asked knows nothing of the test.
            for i in range(600):
                try:
                    page = urllib.request.urlopen("http://%s:%s/health" % tuple(sys.argv[1:]), timeout=5)
                    sys.exit(print(json.load(page)["version"]))
                except OSError: time.sleep(0.1)
            """
        let served = try Command.run(["/usr/bin/python3", "-c", program, address, port])
        return (files, served.output.trimmingCharacters(in: .newlines))
    }

    private func commit(_ tag: String) throws -> String {
        try Command.shell(
            "git -C origin.git rev-parse '\(tag)^{commit}'",
            in: fixture.directory.path
        )
    }

    /// As it was before, whatever the last case has left.
    private func reset() throws {
        try Command.shell(
            "rm -rf .fleet app app.conf app.conf.fleet* .app.conf.fleet* lie.*; cp -a app.kept app; cp app.conf.kept app.conf",
            in: home
        )
        try fixture.control("restart", on: 0)
    }

    private func isSaidFalsely(_ program: String, _ name: String, _ lie: String) throws -> String? {
        try reset()
        let real = try Command.shell("PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v \(program)")
            .trimmingCharacters(in: .newlines)
        try fixture.directory.write(
            "#!/bin/sh\nPATH=/usr/sbin:/usr/bin:/sbin:/bin\nreal=\(real)\n\(lie)\n",
            to: "lies/\(program)",
            mode: 0o755
        )
        defer { unlink(fixture.lies + "/" + program) }
        let done = try fixture.fleet(
            ["deploy", "production", "--tag", "v1.1.0", "-q"],
            environment: ["FLEET_STATE_DIR": fixture.directory.path + "/states/\(program) \(name)"]
        )
        unlink(fixture.lies + "/" + program)
        let (files, served) = try truth()
        let isNew = try files == commit("v1.1.0") + "v1.1.0\nsecond\n" && served == "v1.1.0"
        let isOld = try files == commit("v1.0.0") + "v1.0.0\nfirst\n" && served == "v1.0.0"
        let isTrue: Bool
        switch done.status {
        case 0: isTrue = isNew
        case 10, 11, 1: isTrue = isOld
        default: isTrue = true
        }
        return isTrue
            ? nil
            : "\(program), \(name): exit \(done.status), and there is \(files)served: \(served)\n\(done.output)\(done.errors)"
    }

    /// Row K2.
    @Test("No lie of a host's program becomes a success or a way back")
    func lies() throws {
        for (program, name, lie) in Self.selective {
            let found = try isSaidFalsely(program, name, lie)
            #expect(found == nil, "\(found ?? "")")
        }
        let isWhole = ProcessInfo.processInfo.environment["FLEET_LIES"] == "all"
        for program in Self.programs {
            let told = Self.lies.sorted { $0.key < $1.key }.filter { name, _ in
                isWhole || program == "git" || name == "silent" && Self.proofs.contains(program)
            }
            for (name, lie) in told {
                let start = ContinuousClock.now
                let found = try isSaidFalsely(program, name, lie)
                if isWhole { print("\(program), \(name): \(ContinuousClock.now - start)") }
                #expect(found == nil, "\(found ?? "")")
            }
        }
    }
}
