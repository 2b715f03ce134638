import FleetTestSupport
import FleetTransport
import FleetYAML
import Foundation
import Testing

@testable import FleetPlaybook

/// Links that the application's account puts where a step is about to write or read as root.
@Suite(.serialized, .enabled(if: getuid() == 0)) struct SafePathTests {
    private static let shells = [["dash"], ["bash"], ["/bin/busybox", "sh"]]
    /// The application's account: number of `nobody` and of `daemon`.
    private static let application = 65534
    private static let other = 1

    private let directory: TemporaryDirectory
    private var root: String { directory.path }

    /// `/srv` belongs to root, `/srv/app` to the application; `secret` is root's.
    init() throws {
        directory = try TemporaryDirectory()
        try Command.shell(
            """
            chmod 755 .
            mkdir home srv srv/app srv/app/sub etc
            echo root-only >etc/secret; chmod 600 etc/secret
            echo untouched >etc/victim; chmod 600 etc/victim
            mkdir etc/dir; echo untouched >etc/dir/file
            chown -R \(Self.application):\(Self.application) srv/app
            """,
            in: root
        )
    }

    /// Everything of root's that an attacker might reach: contents, owners, modes, names.
    private func treasures() throws -> String {
        try Command.shell(
            "find etc -printf '%p %u %m %y %l\\n' | sort; cat etc/secret etc/victim etc/dir/file; find etc | wc -l",
            in: root
        )
    }

    private func asApplication(_ script: String) throws {
        let done = try Command.run(
            ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-ec", script],
            in: root + "/srv/app"
        )
        guard done.status == 0 else { throw Command.Failed(description: done.errors) }
    }

    private func upload(_ destination: String, _ more: String = "") throws -> UploadStep {
        let text = "{ source: f, destination: \"\(root)/\(destination)\"\(more) }"
        let reader = YAMLReader(file: "p", source: text)
        let step = UploadStep(try YAMLDocument.parse(text, file: "p"), reader: reader)
        try reader.finish()
        return try #require(step)
    }

    private static let content = "new content\n"

    private func scope(back: Bool = false) -> StepScope {
        var scope = StepScope(
            environment: "test",
            endpoint: HostEndpoint(name: "web1"),
            variables: [:],
            release: nil,
            direction: back ? .revert : .forward,
            files: [
                "f": LocalFile(
                    path: "f",
                    sizeBytes: Self.content.utf8.count,
                    sha256: Self.digest(of: Self.content)
                )
            ]
        )
        scope.becomeUser = "root"
        return scope
    }

    private static func digest(of text: String) -> String {
        let output = try? Command.run(["sha256sum"], input: text).output
        return String(output?.prefix(64) ?? "")
    }

    private func run(_ script: Script, _ shell: [String], facts: [String: String] = [:]) throws
        -> Command
    {
        try Command.run(
            shell + ["-s"],
            in: root + "/home",
            environment: ["HOME": root + "/home", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"],
            input: script.adding(
                facts.map { EnvironmentVariable("FLEET_SNAPSHOT_\($0.key.uppercased())", $0.value) }
            ).runnableText
        )
    }

    /// Preflight, what is handed over, and the step's end, as a session runs them.
    private func perform(_ step: UploadStep, shell: [String] = ["dash"]) throws -> (
        facts: [String: String], last: Command
    ) {
        let seen = try run(try #require(try step.preflight(in: scope())), shell)
        guard seen.status == 0 else { return ([:], seen) }
        let facts = CheckoutFixture.facts(seen.output)
        guard case .upload(let upload) = try step.action(in: scope()) else {
            throw Command.Failed(description: "no upload")
        }
        let handOver = try #require(upload.handOver).completed(by: ScriptLibrary.texts)
        let given = try Command.run(
            shell + ["-c", "eval \"$1\"", "fleet", handOver.streamText],
            in: root + "/home",
            environment: ["HOME": root + "/home", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"],
            input: Self.content
        )
        guard given.status == 0 else { return (facts, given) }
        return (facts, try run(upload.finish, shell, facts: facts))
    }

    private func goBack(_ step: UploadStep, _ facts: [String: String], shell: [String] = ["dash"])
        throws -> Command
    {
        guard
            case .script(let script) = try step.revertAction(
                in: scope(back: true),
                isIdempotent: true
            )
        else { throw Command.Failed(description: "no script") }
        return try run(script, shell, facts: facts)
    }

    private func look(_ script: String) throws -> String {
        try Command.shell(script, in: root).trimmingCharacters(in: .newlines)
    }

    /// Row H51.
    @Test("Nothing in the way: written, put back, with owner and mode", arguments: shells)
    func plain(shell: [String]) throws {
        try Command.shell("echo old >srv/app/conf; chmod 640 srv/app/conf", in: root)
        let step = try upload("srv/app/conf", ", mode: \"4751\", owner: \"daemon:daemon\"")
        let (facts, done) = try perform(step, shell: shell)
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(
            try look("cat srv/app/conf; stat -c '%U %a' srv/app/conf") == "new content\ndaemon 4751"
        )
        #expect(try look("ls -A srv/app") == "conf\nsub")
        // The same again, and then only its owner is another.
        let again = try perform(step, shell: shell)
        #expect(again.last.status == 0, "\(again.last.output)\(again.last.errors)")
        let back = try goBack(step, facts, shell: shell)
        #expect(back.status == 0, "\(back.output)\(back.errors)")
        #expect(try look("cat srv/app/conf; stat -c '%U %a' srv/app/conf") == "old\nroot 640")
        #expect(try look("ls -A srv/app") == "conf\nsub")
    }

    /// What the application puts in the way, and where the step writes.
    static let allTraps: [(name: String, trap: String, destination: String)] = [
        ("destination", "ln -s $T/victim conf", "srv/app/conf"),
        ("directory on the way", "rmdir sub; ln -s $T/dir sub", "srv/app/sub/file"),
        ("chain of links", "ln -s $T a; ln -s a/dir b", "srv/app/b/file"),
        ("relative, upwards", "ln -s ../../etc up", "srv/app/up/dir/file"),
        ("where it is written first", "ln -s $T/victim .conf.fleet", "srv/app/conf"),
        ("directory where it is written first", "ln -s $T/dir .conf.fleet", "srv/app/conf"),
        (
            "the names that earlier versions used",
            "for n in new part old; do ln -s $T/victim conf.fleet-$n; done", "srv/app/conf"
        ),
        (
            "a directory for the work", "mkdir .conf.fleet; ln -s $T/victim .conf.fleet/part",
            "srv/app/conf"
        ),
        ("a secret, to be kept and put back", "ln -s $T/secret conf", "srv/app/conf"),
    ]

    /// Row H51.
    @Test(
        "Nothing of root's changes, and nothing is read, whatever is put in the way",
        arguments: allTraps,
        shells
    )
    func reachesNothing(trap: (name: String, trap: String, destination: String), shell: [String])
        throws
    {
        try asApplication("T=\(root)/etc; \(trap.trap)")
        let before = try treasures()
        let step = try upload(trap.destination, ", mode: \"0644\"")
        let (facts, done) = try perform(step, shell: shell)
        #expect(try treasures() == before, "\(trap.name): \(done.output)\(done.errors)")
        #expect(facts["sha256"] != Self.digest(of: "root-only\n"))
        _ = try goBack(
            step,
            facts.isEmpty ? ["sha256": Self.digest(of: "root-only\n")] : facts,
            shell: shell
        )
        #expect(try treasures() == before, "\(trap.name), back")
        #expect(
            try !look("find srv home -type f -exec cat {} +").contains("root-only")
        )
    }

    /// Row H51.
    @Test(
        "What the application's own link leads to is written as the application",
        arguments: shells
    )
    func applicationsLink(shell: [String]) throws {
        try asApplication(
            "mkdir -p releases/v1; echo old >releases/v1/conf; ln -s releases/v1 current; ln -s current/conf conf"
        )
        for destination in ["srv/app/current/conf", "srv/app/conf"] {
            let step = try upload(destination)
            let (facts, done) = try perform(step, shell: shell)
            #expect(done.status == 0, "\(done.output)\(done.errors)")
            #expect(
                try look(
                    "cat srv/app/releases/v1/conf; stat -c %u srv/app/releases/v1/conf; readlink srv/app/conf"
                ) == "new content\n65534\ncurrent/conf"
            )
            let back = try goBack(step, facts, shell: shell)
            #expect(back.status == 0, "\(back.output)\(back.errors)")
            #expect(try look("cat srv/app/releases/v1/conf") == "old")
        }
    }

    /// Row H51.
    @Test("Root's own link in the application's directory is followed as root", arguments: shells)
    func rootsLink(shell: [String]) throws {
        try Command.shell(
            "ln -s ../../etc/dir srv/app/current; touch -hd '1 hour ago' srv/app/current",
            in: root
        )
        let step = try upload("srv/app/current/file")
        let (facts, done) = try perform(step, shell: shell)
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(
            try look("cat etc/dir/file; stat -c %u etc/dir/file; ls -A etc/dir")
                == "new content\n0\nfile"
        )
        #expect(try goBack(step, facts, shell: shell).status == 0)
        #expect(try look("cat etc/dir/file") == "untouched")
    }

    /// Row K2.
    @Test("A file that is not for everybody's eyes, and was opened by a later step, is no success")
    func openedLater() throws {
        let step = try upload("srv/app/conf", ", mode: \"0640\"")
        #expect(try perform(step).last.status == 0)
        func seen() throws -> Command {
            try run(try #require(try step.verification(in: scope())), ["dash"])
        }
        #expect(try seen().status == 0)
        try Command.shell("chmod 666 srv/app/conf", in: root)
        let open = try seen()
        #expect(open.status == 1 && open.output.contains("E_MODE"), "\(open.output)\(open.errors)")
        try Command.shell("chmod 750 srv/app/conf", in: root)
        #expect(try seen().status == 0)
    }

    /// Row H51.
    @Test("A file that is there already, under a second name, gets no other mode or owner")
    func hardLink() throws {
        try Command.shell(
            "printf 'new content\\n' >etc/twin; chmod 600 etc/twin; ln etc/twin srv/app/conf",
            in: root
        )
        let step = try upload("srv/app/conf", ", mode: \"0666\", owner: \"nobody\"")
        guard case .upload(let upload) = try step.action(in: scope()) else { return }
        // It is not what it should be, so it is replaced; that it is there already would be no reason to change it.
        let seen = try run(upload.prepare, ["dash"])
        #expect(seen.status == 0 && !seen.output.contains(Upload.presentMark))
        let done = try run(
            upload.finish.adding([EnvironmentVariable("FLEET_PRESENT", "1")]),
            ["dash"]
        )
        #expect(done.status != 0 && done.output.contains("changed while it was looked at"))
        #expect(try look("stat -c '%u %a' etc/twin") == "0 600")
    }

    /// Row H51.
    @Test("An account that is not root refuses somebody else's link, and says whose it is")
    func refused() throws {
        try asApplication("ln -s \(root)/srv/app/sub there")
        var scope = scope()
        scope.becomeUser = "daemon"
        let script = try #require(try upload("srv/app/there/file").preflight(in: scope))
        let seen = try Command.run(
            ["setpriv", "--reuid=1", "--regid=1", "--clear-groups", "dash", "-s"],
            in: "/",
            environment: ["HOME": "/", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"],
            input: script.runnableText
        )
        #expect(seen.status == 3)
        #expect(
            seen.errors.contains(
                "E_LINK \(root)/srv/app/there is a link of nobody's, which daemon does not follow"
            ),
            "\(seen.errors)"
        )
    }

    /// Row H51.
    @Test(
        "Whoever a link makes root act as is handed none of root's own outputs",
        arguments: shells,
        [false, true]
    )
    func ownOutputs(_ shell: [String], _ streams: Bool) throws {
        try asApplication("ln -s sub link; echo theirs >sub/file")
        try Command.shell("mkdir -m 700 tmp", in: root)
        let script = try scope().placing(
            """
            walk "\(root)/srv/app/link/file" || exit 1
            echo "as $(id -u)" $(readlink /proc/$$/fd/1 /proc/$$/fd/2 | tr ' ' _)
            ls /proc/$$/fd | wc -l
            cat ./file
            exit 7
            """,
            library: .upload,
            more: [EnvironmentVariable("FLEET_STREAMS", streams ? "1" : "")]
        ).completed(by: ScriptLibrary.texts)
        let own = try Command.run(
            shell + ["-c", "readlink /proc/$$/fd/1 >&2; eval \"$1\"", "fleet", script.shellText],
            in: root + "/home",
            environment: [
                "HOME": root + "/home", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "TMPDIR": root + "/tmp",
            ]
        )
        #expect(own.status == 7, "\(own.errors)")
        let lines = own.output.split(separator: "\n")
        try #require(lines.count == 3, "\(own.output)\(own.errors)")
        let mine = own.errors.split(separator: "\n")[0]
        #expect(lines[0].hasPrefix("as 65534 "))
        #expect(mine.hasPrefix("/") && !lines[0].contains(mine), "\(own.output)\(own.errors)")
        #expect(streams || lines[0].contains("(deleted)"), "\(own.output)")
        #expect(lines[2] == "theirs")
        #expect(try look("ls -A tmp") == "")
    }

    /// Row H51.
    @Test(
        "Links that are swapped in at any moment reach nothing of root's",
        arguments: [
            // The destination, a directory on the way, the directory of the work.
            "ln -s $T/victim x; mv -fT x conf; rm -f conf; echo mine >y; mv -f y conf",
            "mv sub sub2; ln -s $T/dir sub; rm sub; mv sub2 sub",
            "mv .conf.fleet w 2>/dev/null; ln -s $T/dir .conf.fleet 2>/dev/null; rm -f .conf.fleet; mv w .conf.fleet 2>/dev/null; :",
            "mv sub/.file.fleet w 2>/dev/null; mkdir sub/.file.fleet 2>/dev/null; ln -s $T/victim sub/.file.fleet/part 2>/dev/null; rm -rf sub/.file.fleet; mv w sub/.file.fleet 2>/dev/null; :",
        ],
        ["srv/app/conf", "srv/app/sub/file"]
    )
    func races(swap: String, destination: String) throws {
        let before = try treasures()
        let attacker = try Attacker([
            "dash", "-c",
            "cd \(root)/srv/app; T=\(root)/etc; while :; do \(swap); done 2>/dev/null",
        ])
        defer { attacker.end() }
        let step = try upload(destination, ", mode: \"0644\"")
        for round in 0..<3 {
            let (facts, done) = try perform(step, shell: Self.shells[round % 3])
            #expect(try treasures() == before, "\(done.output)\(done.errors)")
            #expect(facts["sha256"] != Self.digest(of: "untouched\n"))
            _ = try goBack(step, facts.isEmpty ? ["state": "absent"] : facts)
            #expect(try treasures() == before)
        }
    }

    @Test("What somebody makes where nothing was goes with the way back, and a copy of it stays")
    func madeMeanwhile() throws {
        let step = try upload("srv/app/conf")
        let (facts, done) = try perform(step)
        #expect(done.status == 0 && facts == ["state": "absent"], "\(done.output)\(facts)")
        try Command.shell("echo theirs >srv/app/conf", in: root)
        let back = try goBack(step, facts)
        #expect(back.status == 0 && back.output.contains("a copy is"), "\(back.output)")
        let copy = "home/.fleet/kept/" + Self.digest(of: "theirs\n")
        #expect(try look("cat \(copy); ls srv/app | grep -c conf || :") == "theirs\n0")
        // What was sent, and nobody has touched, is no loss.
        let (again, sent) = try perform(step)
        #expect(sent.status == 0 && again == ["state": "absent"])
        let plain = try goBack(step, again)
        #expect(plain.status == 0 && !plain.output.contains("a copy"), "\(plain.output)")
        #expect(try goBack(step, again).status == 0)
    }

    @Test(
        "What preflight is said to have found gives nobody special bits, and is believed only in its form"
    )
    func forgedFacts() throws {
        let step = try upload("srv/app/conf")
        try Command.shell("echo theirs >srv/app/conf", in: root)
        let forged = ["sha256": Self.digest(of: "theirs\n"), "mode": "4755", "owner": "0:0"]
        _ = try goBack(step, forged)
        #expect(try look("stat -c %a srv/app/conf") == "755")
        for (name, value) in [
            ("owner", "0:0 /etc"), ("mode", "u+s"), ("sha256", "../../x"), ("owner", "root"),
        ] {
            let refused = try goBack(step, forged.merging([name: value]) { $1 })
            #expect(refused.status != 0, "\(name)=\(value): \(refused.output)")
        }
        // A file whose special bits are the playbook's own keeps them.
        let special = try upload("srv/app/conf", ", mode: \"4751\"")
        _ = try goBack(
            special,
            ["sha256": Self.digest(of: "theirs\n"), "mode": "4751", "owner": "0:0"]
        )
        #expect(try look("stat -c %a srv/app/conf") == "4751")
    }

    @Test("The newest twenty copies of what was replaced stay, and those of the last thirty days")
    func pruning() throws {
        let names = (10..<40).map { String(repeating: "0", count: 62) + String($0) }
        try Command.shell("mkdir -p home/.fleet/kept; echo old >srv/app/conf", in: root)
        for (age, name) in names.enumerated() {
            // The first five are old and many; one of these has no mark, as before there were marks.
            let days = age < 25 ? 31 + age : 1
            try Command.shell(
                "echo x >\(name); touch -d '\(days) days ago' \(name).at"
                    + (age == 20 ? "; rm \(name).at" : ""),
                in: root + "/home/.fleet/kept"
            )
        }
        let done = try perform(try upload("srv/app/conf"))
        #expect(done.last.status == 0, "\(done.last.output)\(done.last.errors)")
        let left = try look("ls home/.fleet/kept | grep -v at$")
            .split(separator: "\n").map(String.init)
        let kept = Self.digest(of: "old\n")
        // This one, the one without a mark, five of yesterday, and thirteen old ones.
        #expect(Set(left) == Set([kept, names[20]] + names[25...] + names[..<13]), "\(left)")
    }

    @Test("A way back whose copy is gone says so before anything is done")
    func copyIsGone() throws {
        try Command.shell("echo old >srv/app/conf", in: root)
        let step = try upload("srv/app/conf")
        let (facts, done) = try perform(step)
        #expect(done.status == 0)
        let question = try #require(try step.preflight(in: scope(back: true)))
            .adding([EnvironmentVariable("FLEET_GOING_BACK", "1")])
        #expect(try run(question, ["dash"], facts: facts).status == 0)
        try Command.shell("rm -r home/.fleet/kept", in: root)
        let asked = try run(question, ["dash"], facts: facts)
        #expect(asked.status == 1)
        #expect(asked.output.contains("is not kept any more"), "\(asked.output)")
    }

    @Test("A relative destination is looked at where the step will write it")
    func relativeDestination() throws {
        let reader = YAMLReader(file: "p", source: "{ source: f, destination: conf }")
        let text = "{ source: f, destination: conf }"
        let step = try #require(
            UploadStep(try YAMLDocument.parse(text, file: "p"), reader: reader)
        )
        try Command.shell("echo old >srv/app/conf", in: root)
        var asking = scope()
        asking.laterDirectory = root + "/srv/app"
        let seen = try run(try #require(try step.preflight(in: asking)), ["dash"])
        #expect(CheckoutFixture.facts(seen.output)["sha256"] == Self.digest(of: "old\n"))
        var acting = scope()
        acting.directory = root + "/srv/app"
        guard case .upload(let upload) = try step.action(in: acting) else { return }
        let there = try run(upload.prepare, ["dash"])
        #expect(there.status == 0 && !there.output.contains(Upload.presentMark))
    }

    /// Row H51.
    @Test(
        "What others may not read does not become the application's by its link",
        arguments: shells
    )
    func privateContent(shell: [String]) throws {
        try asApplication("touch got; ln -s got conf")
        let refused = try perform(try upload("srv/app/conf", ", mode: \"0640\""), shell: shell).last
        #expect(
            refused.status == 3 && refused.errors.contains("name it as the `owner`"),
            "\(refused.errors)"
        )
        #expect(try look("find srv -type f -size +0") == "")
        let owned = try perform(
            try upload("srv/app/conf", ", mode: \"0600\", owner: nobody"),
            shell: shell
        ).last
        #expect(owned.status == 0, "\(owned.output)\(owned.errors)")
        #expect(
            try look("cat srv/app/got; stat -c '%u %a' srv/app/got") == "new content\n65534 600"
        )
    }

    /// Row H51.
    @Test("The same of a directory with something in it that is not for everybody")
    func privateDirectory() throws {
        try asApplication("mkdir got; ln -s got/d conf")
        for (isPrivate, status) in [(true, Int32(3)), (false, 0)] {
            var scope = scope()
            scope.files["f"] = LocalFile(
                path: "f",
                sizeBytes: 1,
                sha256: Self.digest(of: "x"),
                directorySHA256: Self.digest(of: "y"),
                isPrivate: isPrivate
            )
            let seen = try run(
                try #require(try upload("srv/app/conf").preflight(in: scope)),
                ["dash"]
            )
            #expect(seen.status == status, "\(seen.output)\(seen.errors)")
        }
    }

    /// Row H51.
    @Test(
        "A file with the right bytes and the wrong owner is another one afterwards, there and back"
    )
    func notChangedWhereItStands() throws {
        try asApplication("printf '\(Self.content)' >conf; chmod 4755 conf")
        let inode = try look("stat -c %i srv/app/conf")
        let (facts, done) = try perform(try upload("srv/app/conf", ", mode: \"4755\", owner: root"))
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(try look("stat -c '%u %a' srv/app/conf") == "0 4755")
        #expect(try look("stat -c %i srv/app/conf") != inode)
        // Going back: what is there by then has the bytes, and belongs to somebody else.
        try Command.shell("chown daemon srv/app/conf", in: root)
        let other = try look("stat -c %i srv/app/conf")
        let back = try #require(
            try upload("srv/app/conf", ", mode: \"4755\", owner: root")
                .revertAction(in: scope(back: true), isIdempotent: true)
        )
        guard case .script(let script) = back else { return }
        let undone = try run(script, ["dash"], facts: facts)
        #expect(undone.status == 0, "\(undone.output)\(undone.errors)")
        #expect(try look("stat -c '%u %a' srv/app/conf") == "65534 4755")
        #expect(try look("stat -c %i srv/app/conf") != other)
    }

    /// Row H51.
    @Test("Nor by a link that comes between the look and the handing over")
    func privateContentHandedOver() throws {
        try asApplication("touch got; ln -s got conf")
        guard
            case .upload(let upload) = try upload("srv/app/conf", ", mode: \"0640\"")
                .action(in: scope())
        else { return }
        let script = try #require(upload.handOver).completed(by: ScriptLibrary.texts)
        let given = try Command.run(
            ["dash", "-c", "eval \"$1\"", "fleet", script.streamText],
            in: root + "/home",
            environment: ["HOME": root + "/home", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"],
            input: Self.content
        )
        #expect(given.status == 3 && given.errors.contains("E_LINK"), "\(given.errors)")
        #expect(try look("find srv -type f -size +0") == "")
    }

    /// Row H51.
    @Test(
        "A rename that fails is no rename into a directory, whatever the file is called",
        arguments: shells
    )
    func names(shell: [String]) throws {
        try Command.shell("mkdir -p srv/app/messages.yml/options; echo x >srv/app/new", in: root)
        let done = try run(
            Script(SafePath.functions + "cd \(root)/srv/app; onto ./new ./messages.yml"),
            shell
        )
        #expect(done.status == 1, "\(done.errors)")
        #expect(try look("ls srv/app/messages.yml; cat srv/app/new") == "options\nx")
    }

    /// Row H51.
    @Test(
        "A list that would let the application into root's directory is taken away, or nothing is written"
    )
    func accessControlLists() throws {
        guard access("/usr/bin/setfacl", X_OK) == 0 else { return }
        try asApplication("setfacl -d -m u:65534:rwx .")
        let done = try perform(try upload("srv/app/conf", ", mode: \"0640\"")).last
        if done.status == 0 {
            let read = try Command.run([
                "setpriv", "--reuid=65534", "--clear-groups", "cat", root + "/srv/app/conf",
            ])
            #expect(read.status != 0)
        } else {
            #expect(done.errors.contains("access control list"))
        }
    }

    /// Row H51.
    @Test(
        "Git works in the repository that was looked at, while another one takes its name",
        arguments: shells
    )
    func repositoriesWhileNamesChange(shell: [String]) throws {
        try Command.shell("git init -q --bare srv/app/repo", in: root)
        try asApplication("git init -q --bare evil; git -C evil config core.sshCommand gotcha")
        let attacker = try Attacker(root, exchanging: "repo", "evil")
        defer { attacker.end() }
        let script = Script(
            """
            sleep 0.3
            i=0
            while [ $i -lt 60 ]; do
                i=$((i + 1))
                (FLEET_PATH=\(root)/srv/app/repo; enter; g config core.sshCommand; echo done)
            done
            """,
            environment: [EnvironmentVariable("FLEET_BECAME", "1")],
            library: ScriptLibrary.git.rawValue
        )
        let seen = try run(script, shell)
        #expect(!seen.output.contains("gotcha"))
        #expect(seen.output.contains("done"), "\(seen.output)\(seen.errors)")
    }

    /// Row H51.
    @Test(
        "A directory and a link that change places all the time: no walk ends elsewhere",
        arguments: shells
    )
    func walksWhileNamesChange(shell: [String]) throws {
        try asApplication("ln -s \(root)/etc/dir link")
        let attacker = try Attacker(root, exchanging: "sub", "link")
        defer { attacker.end() }
        let script = Script(
            SafePath.functions + """
                sleep 0.3
                i=0
                while [ $i -lt 150 ]; do
                    i=$((i + 1))
                    (fleet_text=:; as_account() { as=true; }; walk "\(root)/srv/app/sub/file" && env pwd -P)
                done
                """
        )
        let seen = try run(script, shell)
        let landed = Set(seen.output.split(separator: "\n").map { $0.replacing(root, with: "") })
        #expect(
            landed.contains("/srv/app/sub") || landed.contains("/srv/app/link"),
            "\(seen.errors)"
        )
        #expect(!landed.contains("/etc/dir"))
    }

    /// Row H51.
    @Test(
        "A file and a link that change places all the time: the link's file is never read",
        arguments: shells
    )
    func readsWhileNamesChange(shell: [String]) throws {
        try asApplication("echo ours >conf; ln -s \(root)/etc/secret link")
        let attacker = try Attacker(root, exchanging: "conf", "link")
        defer { attacker.end() }
        let script = Script(
            SafePath.functions + """
                sleep 0.3
                cd "\(root)/srv/app"
                i=0
                while [ $i -lt 300 ]; do
                    i=$((i + 1))
                    reading ./conf cat
                done
                """
        )
        let seen = try run(script, shell)
        #expect(seen.output.contains("ours"), "\(seen.errors)")
        #expect(!seen.output.contains("root-only"))
    }

    /// Row H51.
    @Test(
        "A tree in which a directory and a link change places: what the link leads to stays",
        arguments: ["rm", "busybox"]
    )
    func removesWhileNamesChange(rm: String) throws {
        let attacker = try Attacker(root, exchanging: "tree/sub", "tree/link")
        defer { attacker.end() }
        let script = Script(
            SafePath.functions + """
                PATH=$PWD/tools:$PATH
                mkdir tools
                case \(rm) in busybox) ln -s /bin/busybox tools/rm; is_busybox rm || exit 1 ;; esac
                cd "\(root)/srv/app"
                i=0
                while [ $i -lt 60 ]; do
                    i=$((i + 1))
                    mkdir -p tree/sub/deep
                    touch tree/sub/deep/file tree/sub/.hidden
                    ln -s "\(root)/etc/dir" tree/link
                    chown -hR \(Self.application) tree
                    remove ./tree 2>/dev/null || echo refused
                    [ ! -e tree ] || mv tree left-$i
                done
                mkdir -p tree/sub/deep && touch tree/sub/.hidden 'tree/a file' && ln -s nowhere tree/dead
                remove ./tree ./none && [ ! -e tree ] && echo "all gone"
                """
        )
        let seen = try run(script, ["dash"])
        #expect(seen.output.hasSuffix("all gone\n"), "\(seen.output)\(seen.errors)")
        #expect(try look("cat etc/dir/file") == "untouched")
    }

    /// Row H51.
    @Test(
        "A tree that is copied to be kept has owners and modes, and nothing of what a link in it leads to"
    )
    func copies() throws {
        try asApplication(
            "mkdir -p tree/sub; echo x >tree/sub/f; chmod 640 tree/sub/f; ln -s \(root)/etc/secret tree/link"
        )
        let script = """
            strict=1
            copy_tree "\(root)/srv/app/tree" ./copy || exit 1
            find copy -printf '%p %U %m %y %l\n' | sort
            """
        let seen = try run(Script(SafePath.functions + script), ["dash"])
        #expect(
            seen.output == """
                copy 65534 755 d\u{20}
                copy/link 65534 777 l \(root)/etc/secret
                copy/sub 65534 755 d\u{20}
                copy/sub/f 65534 640 f\u{20}

                """,
            "\(seen.errors)"
        )
        let busybox = try run(
            Script(
                SafePath.functions
                    + "mkdir tools; ln -s /bin/busybox tools/tar; PATH=$PWD/tools:$PATH; rm -r copy; is_busybox tar || exit 9\n"
                    + script
            ),
            ["dash"]
        )
        #expect(busybox.output == seen.output, "\(busybox.errors)")
    }

    /// Row H51.
    @Test(
        "A directory and a link in a tree that change places while it is copied: nothing of root's is copied",
        arguments: ["tar", "busybox"]
    )
    func copiesWhileNamesChange(tar: String) throws {
        try asApplication(
            "mkdir -p tree/sub/deep; echo x >tree/sub/deep/f; ln -s \(root)/etc tree/link"
        )
        let attacker = try Attacker(root, exchanging: "tree/sub", "tree/link")
        defer { attacker.end() }
        let seen = try run(
            Script(
                SafePath.functions + """
                    mkdir tools; case \(tar) in busybox) ln -s /bin/busybox tools/tar; PATH=$PWD/tools:$PATH ;; esac
                    strict=1 i=0
                    while [ $i -lt 60 ]; do
                        i=$((i + 1))
                        copy_tree "\(root)/srv/app/tree" ./copy
                        find ./copy -type f -exec cat {} +
                        rm -rf ./copy ./copy.tar
                    done
                    """
            ),
            ["dash"]
        )
        #expect(seen.output.contains("x"), "\(seen.errors)")
        #expect(!seen.output.contains("root-only"))
    }
}

/// A process of the application's account that does the same thing again and again.
private struct Attacker {
    private let process = Process()

    init(_ command: [String]) throws {
        process.executableURL = URL(fileURLWithPath: "/usr/bin/setpriv")
        process.arguments = ["--reuid=65534", "--regid=65534", "--clear-groups"] + command
        try process.run()
    }

    /// Exchanges two names in `/srv/app` as fast as the kernel lets it.
    init(_ root: String, exchanging one: String, _ two: String) throws {
        let program = """
            import ctypes, sys
            c = ctypes.CDLL(None)
            while True: c.renameat2(-100, sys.argv[1].encode(), -100, sys.argv[2].encode(), 2)
            """
        let names = [one, two].map { root + "/srv/app/" + $0 }
        try self.init(["/usr/bin/python3", "-c", program] + names)
    }

    /// Python keeps the signal mask that it was started with, so that nothing less ends it.
    func end() {
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }
}
