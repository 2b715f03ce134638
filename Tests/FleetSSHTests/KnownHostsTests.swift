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
        known.read(lines, file: "known_hosts")
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
        // Another type of key is a changed key too.
        #expect(verdict(line, "web1", keys[2]) == .changed(known: keys[0], place: "known_hosts:1"))
    }

    @Test func aRevokedKeyIsRefusedWhateverElseIsKnown() {
        let lines = "web1 \(text(keys[0]))\n@revoked * \(text(keys[0]))\n"
        #expect(verdict(lines, "web1", keys[0]) == .revoked(place: "known_hosts:2"))
    }

    @Test func anAuthorityIsNotAKeyOfTheHost() {
        #expect(verdict("@cert-authority * \(text(keys[0]))\n", "web1", keys[0]) == .unknown)
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
        known.read(
            """
            # a comment

            web1 ssh-ed25519 not-base64!
            web1
            @strange web1 \(text(keys[0]))
            web1 ecdsa-sha2-nistp256 \(Data(keys[0].blob).base64EncodedString())
            web1 \(text(keys[0]))
            """,
            file: "f"
        )
        #expect(known.skipped == ["f:3", "f:4", "f:5", "f:6"])
        #expect(known.verdict(host: "web1", port: 22, key: keys[0]) == .match)
    }

    /// The reference: `ssh-keygen -F` finds a key for exactly the hosts for which we do.
    @Test func agreesWithSSHKeygen() throws {
        try directory.write(
            """
            plain.example.com \(text(keys[0]))
            *.wild.org,!not.wild.org \(text(keys[1]))
            [port.example.com]:2200 \(text(keys[2]))
            10.0.0.? \(text(keys[0]))
            two,names \(text(keys[1]))

            """,
            to: "known"
        )
        try Command.shell(
            """
            printf 'hashed.example.com %s\\n' "$(cut -d' ' -f1,2 a.pub)" >h1
            printf '[hashed.example.com]:44 %s\\n' "$(cut -d' ' -f1,2 b.pub)" >h2
            for f in h1 h2; do ssh-keygen -q -H -f $f 2>/dev/null; cat $f >>known; done
            """,
            in: directory.path
        )
        var known = KnownHosts()
        known.read(directory.read("known") ?? "", file: "known")
        for host in [
            "plain.example.com", "PLAIN.example.com", "x.wild.org", "not.wild.org", "wild.org",
            "port.example.com", "10.0.0.5", "10.0.0.55", "two", "names", "two,names",
            "hashed.example.com", "other.example.com",
        ] {
            for port in [22, 2200, 44] {
                let name = port == 22 ? host : "[\(host)]:\(port)"
                let found =
                    try Command.run(
                        ["ssh-keygen", "-F", name, "-f", directory.path + "/known"]
                    ).status == 0
                // Asked for exactly this name, without OpenSSH's second look at the plain one.
                let ours = keys.contains { key in
                    var exact = known
                    exact = known
                    let plain = exact.verdict(host: host, port: 22, key: key) == .match
                    let here = exact.verdict(host: host, port: port, key: key) == .match
                    return port == 22 ? plain : here && !plain
                }
                #expect(ours == found, "\(name)")
            }
        }
    }

    @Test func fingerprintsAreThoseOfSSHKeygen() throws {
        let line = try Command.shell("ssh-keygen -lf a.pub", in: directory.path)
        #expect(line.contains(keys[0].fingerprint.split(separator: " ")[1]))
    }

    @Test func whatIsRememberedIsKnown() {
        let line = KnownHosts.text(host: "Web1", port: 2222, key: keys[0])
        #expect(verdict(line, "web1", port: 2222, keys[0]) == .match)
    }
}

struct SSHConfigurationTests {
    @Test func theFirstValueWinsAndKeysAddUp() {
        let configuration = SSHConfiguration(
            """
            # comment
            User=everyone
            Host web* !web9
                HostName %h.internal
                Port 2222
                IdentityFile ~/.ssh/one
            Match host web1
                User matched
            Host *
                Port 22
                User late
                IdentityFile "~/.ssh/two"
                UserKnownHostsFile ~/.ssh/other
            """
        )
        let web1 = configuration.settings(for: "web1")
        #expect(web1.hostname == "web1.internal")
        #expect(web1.port == 2222)
        #expect(web1.user == "everyone")
        #expect(web1.identityFiles == ["~/.ssh/one", "~/.ssh/two"])
        #expect(web1.knownHostsFile == "~/.ssh/other")
        let web9 = configuration.settings(for: "web9")
        #expect(web9.hostname == nil)
        #expect(web9.port == 22)
    }

    /// The reference: `ssh -G` on the same file.
    @Test func agreesWithSSH() throws {
        let directory = try TemporaryDirectory()
        let text = """
            Host a b*
                Hostname h-%h
                Port 2201
            Host !c *
                User someone
                Port 2202
            Host c
                Port=2203
            """
        try directory.write(text, to: "config")
        let configuration = SSHConfiguration(text)
        for host in ["a", "b", "b7", "c", "d", "ab"] {
            let output = try Command.run(["ssh", "-G", "-F", directory.path + "/config", host])
                .output
            func value(_ key: String) -> String? {
                output.split(separator: "\n").first { $0.hasPrefix(key + " ") }
                    .map { String($0.dropFirst(key.count + 1)) }
            }
            let ours = configuration.settings(for: host)
            #expect(value("hostname") == ours.hostname ?? host)
            #expect(value("port") == String(ours.port ?? 22))
            if let user = ours.user { #expect(value("user") == user) }
        }
    }
}
