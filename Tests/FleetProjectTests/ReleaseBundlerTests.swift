import FleetPlaybook
import FleetProject
import FleetTestSupport
import Testing

/// Bundles out of real repositories.
@Suite(.serialized) struct ReleaseBundlerTests {
    private let directory: TemporaryDirectory
    private let commits: [String]

    init() throws {
        directory = try TemporaryDirectory()
        let log = try Command.shell(
            """
            export GIT_CONFIG_GLOBAL=/dev/null
            git init -q -b main work && cd work && mkdir ops
            git config user.name t && git config user.email t@t
            for i in 1 2 3; do
                echo $i >file; echo $i >ops/file; git add .; git commit -qm $i; git tag -a v$i -m $i
            done
            git tag -a key -m blob $(git rev-parse HEAD:file)
            git rev-parse v1^{commit} v2^{commit} v3^{commit}
            """,
            in: directory.path
        )
        commits = log.split(separator: "\n").map(String.init)
    }

    private func bundler(_ path: String = "work") -> ReleaseBundler {
        ReleaseBundler(
            repository: directory.path + "/" + path,
            archives: directory.path + "/archives"
        )
    }

    private func objects(_ bundle: ReleaseBundle) throws -> Int {
        let text = try Command.shell(
            "sed '1,/^$/d' '\(bundle.file.path)' | od -An -tu4 --endian=big -j8 -N4"
        )
        return Int(text.filter(\.isNumber)) ?? -1
    }

    @Test("A directory in a repository is that repository")
    func subdirectory() async throws {
        let listing = try await bundler("work/ops").listing()
        #expect(listing.contains("refs/tags/v2^{}") && listing.contains("refs/heads/main"))
        let bundle = try await bundler("work/ops").bundle(of: commits[1], tag: "v2", without: [])
        #expect(bundle.file.sizeBytes > 0 && bundle.basis.isEmpty)
    }

    /// Row H52.
    @Test("A pushed directory that looks like a bare repository is none, unless somebody named it")
    func pushedRepository() async throws {
        let head = String(repeating: "e", count: 40)
        try Command.shell(
            "cd work/ops; mkdir -p refs/heads objects/x; echo 'ref: refs/heads/main' >HEAD; echo \(head) >refs/heads/main; printf '[core]\\n\\tbare = true\\n' >config",
            in: directory.path
        )
        let named = try await bundler("work/ops").listing()
        #expect(named.contains(head))
        let projects = ReleaseBundler(
            repository: "\(directory.path)/" + "work/ops",
            archives: directory.path + "/archives",
            isProjects: true
        )
        let error = await #expect(throws: ReleaseBundler.Failure.self) {
            try await projects.listing()
        }
        #expect(error?.reason.contains("bare repository") == true, "\(error?.reason ?? "")")
        try Command.shell("rm work/ops/HEAD", in: directory.path)
        #expect(try await projects.listing().contains("refs/tags/v2^{}"))
        let bundle = try await projects.bundle(of: commits[1], tag: "v2", without: [])
        #expect(bundle.file.sizeBytes > 0)
    }

    @Test(
        "What hosts hold is told apart: commits, tags of commits, tags of anything else, strangers"
    )
    func basis() async throws {
        let tags = try Command.shell("git rev-parse key v1", in: directory.path + "/work")
            .split(separator: "\n").map(String.init)
        let strangers = [String(repeating: "d", count: 40)]
        let basis = try await bundler().basis(of: strangers + tags + [commits[0], commits[1]])
        #expect(basis == [commits[1]])
        #expect(try await bundler().basis(of: strangers).isEmpty)
        let bundle = try await bundler().bundle(of: commits[2], tag: "v3", without: basis)
        // The tag, the commit, two trees, and one file that both hold.
        #expect(try objects(bundle) == 5)
    }

    @Test("A shallow clone says so, where what it lacks would be needed")
    func shallow() async throws {
        try Command.shell("git clone -q --depth 1 file://$PWD/work shallow", in: directory.path)
        let error = await #expect(throws: ReleaseBundler.Failure.self) {
            try await bundler("shallow").bundle(of: commits[2], tag: nil, without: [])
        }
        #expect(error?.reason.contains("git fetch --unshallow") == true, "\(error?.reason ?? "")")
        // A host that has what is cut off here can be served all the same.
        try Command.shell("git clone -q --depth 2 file://$PWD/work deeper", in: directory.path)
        let bundle = try await bundler("deeper").bundle(
            of: commits[2],
            tag: nil,
            without: [commits[1]]
        )
        #expect(try objects(bundle) == 4)
    }

    @Test("Many at once out of one repository, which is left as it was")
    func manyAtOnce() async throws {
        let before = try Command.shell("git for-each-ref", in: directory.path + "/work")
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 1...12 {
                group.addTask {
                    try await bundler().bundle(of: commits[2], tag: "v3", without: []).file
                        .sizeBytes
                }
            }
            for try await size in group { #expect(size > 0) }
        }
        #expect(try Command.shell("git for-each-ref", in: directory.path + "/work") == before)
        let left = try Command.shell("ls archives | grep -v 'bundle$' || :", in: directory.path)
        #expect(left.isEmpty, "\(left)")
    }

    @Test("A tag that stands for another commit by now is refused")
    func movedTag() async throws {
        await #expect(throws: ReleaseBundler.Failure.self) {
            try await bundler().bundle(of: commits[0], tag: "v3", without: [])
        }
    }
}
