import FleetTestSupport
import Foundation
import Testing

/// `source: controller`: hosts without a way to the repository are sent what they lack.
@Suite(.serialized) struct DeliveryTests {
    private let fixture: FleetFixture

    init() throws { fixture = try FleetFixture(hosts: 2) }

    private func write(_ steps: String, _ more: String = "") throws {
        try fixture.directory.write(
            """
            name: Deploy app
            steps:
            \(steps)
            smoke:
              - name: health
                http: { url: "http://${{ vars.address }}:${{ vars.port }}/health", contains: "${{ release.tag }}" }
                passes: 1
                deadline: 8s
            \(more)
            """,
            to: "project/playbooks/deploy.yml"
        )
    }

    private func writeInPlace() throws {
        try write(
            """
              - name: pull
                checkout: { path: ~/app, source: controller, repository: ../work }
              - name: restart
                service: { name: app, control: ~/appctl }
            """
        )
    }

    private func deploy(_ tag: String, _ more: String...) throws -> Command {
        try fixture.fleet(["deploy", "production", "--tag", tag] + more, environment: [:])
    }

    /// The bundles that were made, by what git says of them, newest last.
    private func bundles() throws -> [String] {
        try Command.shell(
            "cd state/uploads && ls -tr *.bundle | sed 's/\\.bundle$//'",
            in: fixture.directory.path
        ).split(separator: "\n").map(String.init)
    }

    /// How many objects a bundle brings.
    private func objects(_ bundle: String) throws -> Int {
        // Behind the empty line there is a pack: "PACK", its version, the number of objects.
        let text = try Command.shell(
            "sed '1,/^$/d' state/uploads/\(bundle).bundle | od -An -tu4 --endian=big -j8 -N4",
            in: fixture.directory.path
        )
        return Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? -1
    }

    @Test("A host that has nothing gets everything, then exactly what it lacks, then nothing")
    func inPlace() throws {
        try writeInPlace()
        let first = try deploy("v1.0.0")
        #expect(first.status == 0, "\(first.output)\(first.errors)")
        #expect(try fixture.tag(0) == "v1.0.0")
        let all = try #require(try bundles().last)
        #expect(try bundles().count == 1, "both hosts lacked the same")
        // The tag, the commit, its tree and its three files.
        #expect(try objects(all) == 6)

        let second = try deploy("v1.1.0")
        #expect(second.status == 0, "\(second.output)\(second.errors)")
        #expect(try fixture.tag(1) == "v1.1.0")
        let more = try #require(try bundles().last)
        // The tag, the commit, its tree and the one file that changed.
        #expect(try objects(more) == 4)
        let host = fixture.servers[0].home
        let remotes = try Command.run(["git", "remote"], in: host + "/app").output
        #expect(remotes.isEmpty, "the host was never told of a repository")
        let names = try Command.shell(
            "git for-each-ref refs/fleet",
            in: fixture.directory.path + "/work"
        )
        #expect(names.isEmpty, "and nothing is left in the controller's")

        let count = try bundles().count
        let back = try deploy("v1.0.0", "--force-quarantined", "going back")
        #expect(back.status == 0, "\(back.output)\(back.errors)")
        #expect(try bundles().count == count, "what is there already is not sent again")
        let left = try Command.run(["find", host + "/.fleet", "-name", "*.bundle*"]).output
        #expect(left.isEmpty)
    }

    @Test("A bad release goes back without a repository; hosts that differ get what each one lacks")
    func reverts() throws {
        try writeInPlace()
        #expect(try deploy("v1.0.0").status == 0)
        #expect(try deploy("v1.1.0", "--limit", "web1").status == 0)
        let made = try bundles().count
        let bad = try deploy("v1.2.0")
        #expect(bad.status == 10, "\(bad.output)\(bad.errors)")
        #expect(try fixture.tag(0) == "v1.1.0")
        #expect(try fixture.tag(1) == "v1.0.0")
        #expect(try bundles().count == made + 2)
    }

    @Test("The releases layout, with a branch instead of a tag")
    func releasesLayout() throws {
        try write(
            """
              - name: unpack
                releases: { path: ~/shop, source: controller, repository: ../work }
              - name: switch
                switch: { path: ~/shop }
              - name: restart
                service: { name: app, control: ~/appctl }
            """.replacing("~/appctl", with: "~/shopctl"),
            ""
        )
        for server in fixture.servers {
            // The service runs where `current` points.
            try Command.shell(
                "sed 's|/app/app.py|/shop/current/app.py|' appctl >shopctl; chmod +x shopctl",
                in: server.home
            )
        }
        try fixture.directory.write(
            try #require(fixture.directory.read("project/playbooks/deploy.yml"))
                .replacing("${{ release.tag }}", with: "v1.1.0"),
            to: "project/playbooks/deploy.yml"
        )
        try Command.shell("git branch next v1.1.0", in: fixture.directory.path + "/work")
        let first = try fixture.fleet("deploy", "production", "--branch", "next")
        #expect(first.status == 0, "\(first.output)\(first.errors)")
        let version = try Command.shell("cat shop/current/VERSION", in: fixture.servers[1].home)
        #expect(version == "v1.1.0\n")
        let again = try fixture.fleet("deploy", "production", "--branch", "next")
        #expect(again.status == 0, "\(again.output)\(again.errors)")
    }

    @Test("What the controller does not hold is refused before anything is touched")
    func refused() throws {
        try writeInPlace()
        let missing = try deploy("v9.0.0")
        #expect(missing.status == 11, "\(missing.errors)")
        try fixture.directory.write(
            try #require(fixture.directory.read("project/playbooks/deploy.yml"))
                .replacing("../work", with: "../nowhere"),
            to: "project/playbooks/deploy.yml"
        )
        let nowhere = try deploy("v1.0.0")
        #expect(nowhere.status == 11)
        #expect(nowhere.errors.contains("the repository `../nowhere`"), "\(nowhere.errors)")
        #expect(!FileManager.default.fileExists(atPath: fixture.servers[0].home + "/app"))
    }

    @Test("A host whose repository has lost what the bundle is built on refuses it")
    func lostBasis() throws {
        try writeInPlace()
        #expect(try deploy("v1.0.0").status == 0)
        let plan = try fixture.fleet("plan", "production", "--tag", "v1.1.0")
        #expect(plan.status == 0, "\(plan.errors)")
        // Somebody puts another repository in its place, with the same names and other commits.
        try Command.shell(
            """
            rm -rf app && git init -q app && cd app && echo other >f && git add f
            git -c user.name=t -c user.email=t@t commit -qm other
            """,
            in: fixture.servers[0].home
        )
        let done = try deploy("v1.1.0")
        // Its own bundle is the whole release: nothing of it was there.
        #expect(done.status == 0, "\(done.output)\(done.errors)")
        #expect(try fixture.tag(0) == "v1.1.0")
    }
}
