import FleetTestSupport
import Foundation
import Testing

/// Files and directories to hosts and back, by the built program.
@Suite(.serialized) struct TransferTests {
    private let fixture: FleetFixture

    init() throws { fixture = try FleetFixture(hosts: 2) }

    private func write(
        _ steps: String,
        smoke: String = "test -e ~/healthy || ! grep -rqE 'two|new' ~/www"
    ) throws {
        try fixture.directory.write(
            "name: Push\nsteps:\n\(steps)\nsmoke:\n  - name: healthy\n    command: \(smoke)\n"
                + "    deadline: 1s\n    interval: 100ms\n",
            to: "project/playbooks/push.yml"
        )
        for server in fixture.servers { try Command.shell("touch healthy", in: server.home) }
    }

    /// Row H52.
    @Test(
        "What is fetched is not written through a link that somebody put where a host's directory will be"
    )
    func fetchedThroughALink() throws {
        let project = fixture.directory.path + "/project"
        for server in fixture.servers {
            try Command.shell("echo key >authorized_keys", in: server.home)
        }
        try Command.shell("mkdir mine; ln -s mine web1", in: project)
        let result = try fixture.fleet("fetch", "production", "authorized_keys")
        #expect(result.status == 1, "\(result.output)\(result.errors)")
        #expect(try FileManager.default.contentsOfDirectory(atPath: project + "/mine").isEmpty)
    }

    /// Row H51.
    @Test(
        "A link that the application's account has made leads root to nothing that this account may not read",
        .enabled(if: getuid() == 0)
    )
    func fetchedForRoot() throws {
        for server in fixture.servers {
            // Others may walk to it, as on a host.
            try Command.shell(
                """
                chmod 755 . ..; mkdir -p srv/app/logs; echo root >srv/secret; chmod 600 srv/secret
                echo theirs >srv/app/own; echo x >srv/app/logs/a
                ln -s ../secret srv/app/log; ln -s .. srv/app/up; ln -s own srv/app/plain
                chown -hR 1:1 srv/app
                """,
                in: server.home
            )
        }
        func fetch(_ path: String) throws -> Command {
            try fixture.fleet("fetch", "production", path, "--to", "got", "--limit", "web1")
        }
        for path in ["~/srv/app/log", "srv/app/log", "srv/app/up/secret"] {
            let refused = try fetch(path)
            #expect(refused.status == 1, "\(path): \(refused.output)\(refused.errors)")
        }
        let got = fixture.directory.path + "/project/got/web1"
        #expect(!FileManager.default.fileExists(atPath: got))
        for (path, text) in [("srv/app/own", "theirs\n"), ("srv/app/plain", "theirs\n")] {
            let done = try fetch(path)
            #expect(done.status == 0, "\(path): \(done.output)\(done.errors)")
            let name = try #require(path.split(separator: "/").last)
            #expect(try String(contentsOfFile: "\(got)/\(name)", encoding: .utf8) == text)
        }
        let folder = try fetch("srv/app/logs/")
        #expect(folder.status == 0, "\(folder.output)\(folder.errors)")
        #expect(try Command.shell("tar -tf logs.tar", in: got) == "./\n./a\n")
        #expect(try fetch("srv/nothing").output.contains("does not exist"))
    }

    private func list(_ path: String) throws -> String {
        try Command.shell(
            "find . -printf '%y %m %P %l\\n' | LC_ALL=C sort; find . -type f -exec sha256sum {} + | sort",
            in: path
        )
    }

    @Test func aDirectoryIsReplacedAsAWholeAndPutBack() throws {
        try Command.shell(
            """
            mkdir -p site/css 'site/empty dir'
            echo one >site/index.html; echo red >site/css/a.css; ln -s css/a.css site/main.css
            printf '#!/bin/sh\\n' >site/run; chmod 755 site/run; chmod 700 site/css
            """,
            in: fixture.directory.path + "/project"
        )
        try write("  - upload: { source: site, destination: ~/www }")
        let home = fixture.servers[1].home
        let first = try fixture.fleet("run", "push", "production", "--yes")
        #expect(first.status == 0, "\(first.output)\(first.errors)")
        let source = fixture.directory.path + "/project/site"
        #expect(try list(home + "/www") == list(source))

        // The same again: nothing is sent, nothing is replaced.
        let inode = try Command.shell("stat -c %i www", in: home)
        #expect(try fixture.fleet("run", "push", "production", "--yes").status == 0)
        #expect(try Command.shell("stat -c %i www", in: home) == inode)

        // A file that is gone here is gone there; when the check fails, everything is back.
        try Command.shell("rm site/run; echo two >site/index.html", in: source + "/..")
        try Command.shell("touch stray", in: home + "/www")
        let before = try list(home + "/www")
        for server in fixture.servers { try Command.shell("rm healthy", in: server.home) }
        let failed = try fixture.fleet("run", "push", "production", "--yes")
        #expect(failed.status == 10, "\(failed.output)\(failed.errors)")
        #expect(try list(home + "/www") == before)
        try write("  - upload: { source: site, destination: ~/www }")
        let second = try fixture.fleet("run", "push", "production", "--yes")
        #expect(second.status == 0, "\(second.output)\(second.errors)")
        #expect(try list(home + "/www") == list(source))
        #expect(try Command.shell("ls -d www*", in: home) == "www\n")
    }

    @Test func aReplacementThatWasCutOffBetweenItsRenamesIsMended() throws {
        try Command.shell("mkdir site; echo new >site/a", in: fixture.directory.path + "/project")
        try write("  - upload: { source: site, destination: ~/www }")
        for server in fixture.servers {
            try Command.shell("mkdir www.fleet-old; echo old >www.fleet-old/a", in: server.home)
        }
        for server in fixture.servers { try Command.shell("rm healthy", in: server.home) }
        let failed = try fixture.fleet("run", "push", "production", "--yes")
        #expect(failed.status == 10, "\(failed.output)\(failed.errors)")
        #expect(
            try Command.shell("cat www/a; ls -d www*", in: fixture.servers[0].home) == "old\nwww\n"
        )
    }

    @Test func aFileBehindALinkIsReplacedAndTheLinkStays() throws {
        try fixture.directory.write("new\n", to: "project/app.conf")
        try write(
            "  - upload: { source: app.conf, destination: ~/etc/app.conf, mode: \"0640\" }"
        )
        for server in fixture.servers {
            try Command.shell(
                "mkdir etc common; ln -s ../common/conf etc/app.conf; echo old >common/conf",
                in: server.home
            )
        }
        let result = try fixture.fleet("run", "push", "production", "--yes")
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        let home = fixture.servers[0].home
        #expect(
            try Command.shell(
                "readlink etc/app.conf; cat common/conf; stat -c %a common/conf",
                in: home
            )
                == "../common/conf\nnew\n640\n"
        )
    }

    @Test(.enabled(if: getuid() == 0)) func anotherUserGetsItsFileWithoutTheRunDirectory() throws {
        try fixture.directory.write("secret\n", to: "project/app.conf")
        try Command.shell("mkdir tree; echo x >tree/x", in: fixture.directory.path + "/project")
        let place = try TemporaryDirectory()
        try Command.shell("chmod 711 . && mkdir out && chown nobody out", in: place.path)
        try write(
            """
              - name: part 1
                upload: { source: app.conf, destination: \(place.path)/out/conf, mode: "0600" }
                become_user: nobody
              - name: part 2
                upload: { source: tree, destination: \(place.path)/out/tree }
                become_user: nobody
              - name: part 3
                upload: { source: app.conf, destination: \(place.path)/out/owned, owner: "daemon:nogroup" }
                become_user: root
            """
        )
        let result = try fixture.fleet("run", "push", "production", "--limit", "web1", "--yes")
        #expect(result.status == 0, "\(result.output)\(result.errors)")
        #expect(
            try Command.shell(
                "cat out/conf out/tree/x; stat -c '%U %a' out/conf out/tree/x; stat -c %U:%G out/owned; ls out",
                in: place.path
            ) == "secret\nx\nnobody 600\nnobody 644\ndaemon:nogroup\nconf\nowned\ntree\n"
        )
    }

    @Test func filesAndDirectoriesAreFetchedCheckedOrNotAtAll() throws {
        for (index, server) in fixture.servers.enumerated() {
            try Command.shell(
                "mkdir -p logs/old; echo line \(index) >logs/app.log; head -c 3000000 /dev/urandom >big; mkfifo pipe",
                in: server.home
            )
        }
        let fetched = try fixture.fleet("fetch", "production", "~/big", "--to", "got")
        #expect(fetched.status == 0, "\(fetched.output)\(fetched.errors)")
        let project = fixture.directory.path + "/project"
        for (index, server) in fixture.servers.enumerated() {
            let here = "\(project)/got/web\(index + 1)/big"
            #expect(try Command.run(["cmp", here, server.home + "/big"]).status == 0)
        }
        #expect(fetched.output.contains("web2: got/web2/big, 3000000 bytes"))

        let tree = try fixture.fleet("fetch", "production", "~/logs", "--to", "got")
        #expect(tree.status == 0, "\(tree.output)\(tree.errors)")
        #expect(
            try Command.shell("tar -xOf got/web2/logs.tar ./app.log", in: project) == "line 1\n"
        )

        // What cannot be had is said, and what was there stays.
        try Command.shell("rm big", in: fixture.servers[0].home)
        let missing = try fixture.fleet("fetch", "production", "~/big", "--to", "got")
        #expect(missing.status == 1)
        #expect(missing.output.contains("✗ web1: ") && missing.output.contains("does not exist"))
        #expect(missing.output.contains("✓ web2"))
        #expect(try Command.shell("ls got/web1", in: project) == "big\nlogs.tar\n")
        let pipe = try fixture.fleet("fetch", "production", "~/pipe", "-l", "web1")
        #expect(pipe.output.contains("is no regular file"))
    }

    @Test func namesThatDigestsCannotTellApartAreRefused() throws {
        try Command.shell(
            "mkdir site; touch \"site/a\n b\"",
            in: fixture.directory.path + "/project"
        )
        try write("  - upload: { source: site, destination: ~/www }")
        let result = try fixture.fleet("run", "push", "production", "--yes")
        #expect(result.status == 65, "\(result.output)\(result.errors)")
        #expect(result.errors.contains("has a control character"), "\(result.errors)")
    }
}
