import FleetPlan
import FleetTestSupport
import Testing

struct ReleaseTests {
    private let a = String(repeating: "a", count: 40)
    private let b = String(repeating: "b", count: 40)
    private let c = String(repeating: "c", count: 40)

    private var listing: ReleaseListing {
        ReleaseListing(
            lsRemote: """
                \(a)\trefs/heads/main
                \(a)\trefs/tags/v1.2.0
                \(b)\trefs/tags/v1.2.0^{}
                \(a)\trefs/tags/v1.10.0
                \(a)\trefs/tags/v2.0.0-rc.1
                \(a)\trefs/tags/$(id)
                \(a)\trefs/tags/-v3
                warning: something else
                """
        )
    }

    @Test func anAnnotatedTagIsTheCommitBehindIt() throws {
        #expect(try listing.release(for: .tag("v1.2.0")) == Release(tag: "v1.2.0", commit: b))
    }

    @Test func theNewestIsTheHighestVersionThatIsNoPrerelease() throws {
        #expect(try listing.release(for: .newest).tag == "v1.10.0")
        #expect(listing.versions == ["v2.0.0-rc.1", "v1.10.0", "v1.2.0"])
    }

    @Test func aMissingTagIsRefusedWithWhatThereIs() {
        let error = #expect(throws: ReleaseRefused.self) {
            try listing.release(for: .tag("v1.2.1"))
        }
        #expect(error?.message == "tag `v1.2.1` does not exist")
        #expect(error?.hints.contains("did you mean `v1.2.0`?") ?? false)
    }

    @Test(arguments: [
        "-v1", "--upload-pack=x", "$(id)", "v1;id", "a..b", "v1.lock", "", "v 1", "`id`", "v1'",
        // git takes these for objects, whatever tag is called so.
        "0123456789abcdef0123456789abcdef01234567", "0123456789ABCDEF0123456789ABCDEF01234567",
    ])
    func aNameThatIsNoTagIsRefused(_ name: String) {
        #expect(throws: ReleaseRefused.self) { try listing.release(for: .tag(name)) }
        #expect(!GitName.isTag(name))
    }

    @Test func onlyFullCommitsAreTaken() throws {
        #expect(try listing.release(for: .commit(c)) == Release(tag: nil, commit: c))
        for text in ["abc", c.uppercased(), c + "0", "HEAD"] {
            #expect(throws: ReleaseRefused.self) { try listing.release(for: .commit(text)) }
        }
    }

    @Test func branchesResolveToTheirCommit() throws {
        #expect(try listing.release(for: .branch("main")).commit == a)
        #expect(throws: ReleaseRefused.self) { try listing.release(for: .branch("mian")) }
    }

    /// Our grammar is a subset of git's own.
    @Test func gitAcceptsEveryTagThatWeAccept() throws {
        var names: [String] = []
        let alphabet = ["v", "1", ".", "-", "_", "+", "lock", "@", "~", "^", ":", "/", "a"]
        for first in alphabet {
            for second in alphabet {
                for third in alphabet { names.append(first + second + third) }
            }
        }
        let ours = names.filter(GitName.isTag)
        #expect(ours.count > 100)
        let script = ours.map { "git check-ref-format 'refs/tags/\($0)' || echo '\($0)'" }
        #expect(try Command.run(["sh", "-s"], input: script.joined(separator: "\n")).output == "")
    }

    @Test func versionsAreOrderedAsTheStandardSays() throws {
        let ordered = [
            "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
            "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2.0", "1.10.0", "2.0.0",
        ]
        let versions = try ordered.map { try #require(SemanticVersion($0)) }
        for (lower, higher) in zip(versions, versions.dropFirst()) {
            #expect(lower < higher)
            #expect(!(higher < lower))
        }
    }

    @Test(arguments: [
        "1", "1.2", "1.2.3.4", "01.2.3", "1.2.x", "v", "", "1.2.3-", "1.2.3-01", "1.2.3-a..b",
    ])
    func otherTextsAreNoVersions(_ text: String) { #expect(SemanticVersion(text) == nil) }
}
