import FleetTestSupport
import FleetTransport
import Foundation
import Testing

@testable import FleetSSH

struct KnownHostsTests {
    private let directory: TemporaryDirectory
    private let keys: [HostKey]

    init() throws {
        directory = try TemporaryDirectory()
        var keys: [HostKey] = []
        for (name, type) in [("a", "ed25519"), ("b", "ed25519"), ("c", "ecdsa")] {
            try Command.shell("ssh-keygen -q -t \(type) -N '' -f \(name)", in: directory.path)
            let words = (directory.read("\(name).pub") ?? "").split(separator: " ")
            keys.append(HostKey(blob: Array(try #require(Data(base64Encoded: String(words[1]))))))
        }
        self.keys = keys
    }

    private func text(_ key: HostKey) -> String {
        "\(key.type) \(Data(key.blob).base64EncodedString())"
    }

    private func verdict(_ lines: String, _ host: String, port: Int = 22, _ key: HostKey)
        -> KnownHosts.Verdict
    {
        var known = KnownHosts()
        known.read(Array(lines.utf8), file: "known_hosts")
        return known.verdict(host: host, port: port, key: key)
    }

    @Test func knowsPlainWildcardAndNegatedNames() {
        let line = "*.example.com,!bad.example.com,web?.org \(text(keys[0])) a comment\n"
        #expect(verdict(line, "a.example.com", keys[0]) == .match)
        #expect(verdict(line, "A.Example.COM", keys[0]) == .match)
        #expect(verdict(line, "web1.org", keys[0]) == .match)
        #expect(verdict(line, "bad.example.com", keys[0]) == .unknown)
        #expect(verdict(line, "example.com", keys[0]) == .unknown)
    }

    @Test func aChangedKeyIsNeverUnknown() {
        let line = "web1 \(text(keys[0]))\n"
        #expect(verdict(line, "web1", keys[1]) == .changed(known: keys[0], place: "known_hosts:1"))
        // Another type of key is not known, and no change: ssh would have asked for the known one.
        #expect(
            verdict(line, "web1", keys[2]) == .otherType(known: keys[0], place: "known_hosts:1")
        )
    }

    @Test func aRevokedKeyIsRefusedWhateverElseIsKnown() {
        let lines = "web1 \(text(keys[0]))\n@revoked * \(text(keys[0]))\n"
        #expect(verdict(lines, "web1", keys[0]) == .revoked(place: "known_hosts:2"))
    }

    @Test func anAuthorityIsNotAKeyOfTheHost() {
        let line = "@cert-authority * \(text(keys[0]))\n"
        #expect(verdict(line, "web1", keys[0]) == .authorityOnly(place: "known_hosts:1"))
        #expect(verdict(line + "web1 \(text(keys[1]))\n", "web1", keys[1]) == .match)
    }

    @Test func aKeyRevokedForThePlainNameIsRevokedOnEveryPort() {
        let line = "@revoked web1 \(text(keys[0]))\n"
        #expect(
            verdict(line, "web1", port: 2222, keys[0]) == .revoked(place: "known_hosts:1")
        )
    }

    @Test func otherPortsHaveNamesOfTheirOwn() {
        let lines = "[web1]:2222 \(text(keys[0]))\nweb2 \(text(keys[1]))\n"
        #expect(verdict(lines, "web1", port: 2222, keys[0]) == .match)
        #expect(verdict(lines, "web1", keys[0]) == .unknown)
        #expect(verdict(lines, "web2", port: 2222, keys[1]) == .match)
        #expect(verdict(lines, "web2", port: 2222, keys[0]) == .unknown)
    }

    @Test func aBrokenLineCostsOnlyItself() {
        var known = KnownHosts()
        let text = """
            # a comment

            web1 ssh-ed25519 not-base64!
            web1
            @strange web1 \(self.text(keys[0]))
            web1 ecdsa-sha2-nistp256 \(Data(keys[0].blob).base64EncodedString())
            web1 \(self.text(keys[0]))
            """
        known.read(Array(text.utf8), file: "f")
        #expect(known.skipped == ["f:3", "f:4", "f:5", "f:6"])
        #expect(known.verdict(host: "web1", port: 22, key: keys[0]) == .match)
    }

    /// The reference: over generated files, `ssh-keygen -F` finds a line for exactly the names for
    /// which we find one, and it is the same line.
    ///
    /// Row H4.
    @Test func agreesWithSSHKeygenOverGeneratedFiles() throws {
        var random = SeededRandom(seed: 7)
        for round in 0..<40 {
            let text = generatedFile(&random)
            try directory.write(text, to: "known")
            if round % 2 == 1 {
                // ssh-keygen hashes all names that it can.
                try Command.shell(
                    "ssh-keygen -q -H -f known >/dev/null 2>&1; rm -f known.old",
                    in: directory.path
                )
            }
            var known = KnownHosts()
            known.read(Array((directory.read("known") ?? "").utf8), file: "known")
            for host in Self.hosts.shuffled(using: &random).prefix(6) {
                for port in [22, 2200] {
                    let name = port == 22 ? host : "[\(host)]:\(port)"
                    let output = try Command.run(
                        ["ssh-keygen", "-F", name, "-f", directory.path + "/known"]
                    ).output
                    // It lists lines whose key it has not looked at, too.
                    let broken = Set(known.skipped.compactMap { Int($0.dropFirst(6)) })
                    let theirs = Set(
                        output.split(separator: "\n").filter { $0.hasPrefix("# Host ") }
                            .compactMap {
                                $0.split(separator: " ").dropFirst(5).first.flatMap { Int($0) }
                            }
                    ).subtracting(broken)
                    let ours = Set(
                        known.lines(for: KnownHosts.name(host: host, port: port)).map(\.at.line)
                    )
                    #expect(ours == theirs, "\(name) in\n\(directory.read("known") ?? "")")
                }
            }
        }
    }

    /// In small letters: ssh writes names so before it looks them up, ssh-keygen does not.
    private static let hosts = [
        "a", "web1.example.com", "web2.example.com", "not.example.com", "10.0.0.5", "10.0.0.55",
        "::1", "fe80::1", "x-y_z", "two", "unknown.org",
    ]

    private func generatedFile(_ random: inout SeededRandom) -> String {
        let patterns = [
            "a", "web1.example.com", "*.example.com", "web?.example.com", "!not.example.com",
            "10.0.0.?", "10.0.0.5", "::1", "[a]:2200", "[10.0.0.5]:2200", "[*.example.com]:2200",
            "x-y_z", "two", "*", "!a",
        ]
        var lines: [String] = []
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            let count = Int.random(in: 1...3, using: &random)
            let names = patterns.shuffled(using: &random).prefix(count).joined(separator: ",")
            let key = text(keys[Int.random(in: 0..<keys.count, using: &random)])
            switch Int.random(in: 0..<12, using: &random) {
            case 0: lines.append("# comment \(names) \(key)")
            case 1: lines.append("  \(names)\t\(key) some comment")
            case 2: lines.append("@revoked \(names) \(key)")
            case 3: lines.append("@cert-authority \(names) \(key)")
            case 4: lines.append("\(names) ssh-ed25519 AAAAbroken")
            case 5: lines.append("")
            default: lines.append("\(names) \(key)")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    @Test func fingerprintsAreThoseOfSSHKeygen() throws {
        let line = try Command.shell("ssh-keygen -lf a.pub", in: directory.path)
        #expect(line.contains(keys[0].fingerprint.split(separator: " ")[1]))
    }

    @Test func whatIsRememberedIsKnown() {
        let line = KnownHosts.text(host: "Web1", port: 2222, key: keys[0], isHashed: false)
        #expect(verdict(line, "web1", port: 2222, keys[0]) == .match)
    }

    @Test("The order of lines decides nothing: our own order of types is asked for")
    func orderOfLines() {
        let types = ["ecdsa-sha2-nistp256", "ssh-ed25519"]
        #expect(
            Algorithms.hostKeys(preferring: types).prefix(2) == [
                "ssh-ed25519", "ecdsa-sha2-nistp256",
            ]
        )
        #expect(Algorithms.hostKeys(preferring: ["ssh-rsa"]).first == "rsa-sha2-512")
        #expect(
            Algorithms.allowed(by: "-ecdsa-*", of: Algorithms.hostKeys).allSatisfy {
                !$0.hasPrefix("ecdsa")
            }
        )
        #expect(
            Algorithms.allowed(by: "^ecdsa-*", of: Algorithms.hostKeys).first
                == "ecdsa-sha2-nistp256"
        )
        #expect(Algorithms.allowed(by: "ssh-ed25519", of: Algorithms.hostKeys) == ["ssh-ed25519"])
        #expect(Algorithms.allowed(by: "+ssh-dss", of: Algorithms.hostKeys) == Algorithms.hostKeys)
    }
}
