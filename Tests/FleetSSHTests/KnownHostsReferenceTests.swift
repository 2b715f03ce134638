import FleetTestSupport
import Foundation
import Testing

@testable import FleetSSH

/// Our reading of known_hosts beside that of `ssh-keygen -F`, over generated files.
struct KnownHostsReferenceTests {
    private let directory: TemporaryDirectory
    private let generator: NastyKnownHosts

    init() throws {
        directory = try TemporaryDirectory()
        generator = try NastyKnownHosts(in: directory)
    }

    /// `FLEET_SSH_PAIRS` pairs of file and host, from `FLEET_SSH_SEED` on; a difference prints the file.
    @Test("Generated files know the same hosts for us and for ssh-keygen")
    func generatedFiles() async throws {
        let variables = ProcessInfo.processInfo.environment
        let count = variables["FLEET_SSH_PAIRS"].flatMap { Int($0) } ?? 2000
        let seed = variables["FLEET_SSH_SEED"].flatMap { UInt64($0) } ?? 20_261
        try await busily { try compareGeneratedFiles(count, seed: seed) }
    }

    private func compareGeneratedFiles(_ count: Int, seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let path = directory.path + "/generated"
        var (pairs, found) = (0, 0)
        var differences: [String] = []
        while pairs < count {
            let bytes = generator.file(&random)
            try Data(bytes).write(to: URL(fileURLWithPath: path))
            var known = KnownHosts()
            known.read(bytes, file: "f")
            for name in NastyKnownHosts.names.shuffled(using: &random).prefix(3) {
                pairs += 1
                let ours = known.lines(for: name).map { "\($0.at.line) \($0.marker)" }
                let theirs = try Self.lines(for: name, in: path)
                found += theirs.count
                guard ours != theirs else { continue }
                let lines = bytes.split(separator: 0x0A, omittingEmptySubsequences: false)
                let differing = Set(ours).symmetricDifference(theirs).compactMap {
                    $0.split(separator: " ").first.flatMap { Int($0) }
                }
                let texts = Set(differing).sorted().map {
                    String(decoding: lines[$0 - 1], as: UTF8.self).debugDescription
                }
                differences.append(
                    "\(name): fleet \(ours), ssh-keygen \(theirs)\n  "
                        + texts.joined(separator: "\n  ")
                )
                guard differences.count < 10 else {
                    throw Command.Failed(description: differences.joined(separator: "\n"))
                }
            }
        }
        #expect(differences.isEmpty, "seed \(seed)\n\(differences.joined(separator: "\n"))")
        // A generator of which nothing is ever found would compare nothing.
        #expect(found * 4 > pairs, "\(found) lines found in \(pairs)")
        print(
            "ssh-keygen -F: \(pairs) pairs compared, \(found) lines found, \(differences.count) differ"
        )
    }

    /// The numbers and markers of the lines that `ssh-keygen` finds.
    private static func lines(for name: String, in path: String) throws -> [String] {
        let told = try Command.run(["ssh-keygen", "-l", "-F", name, "-f", path])
        return told.output.split(whereSeparator: \.isNewline).compactMap { line -> String? in
            guard line.hasPrefix("# Host "), let place = line.range(of: " found: line ") else {
                return nil
            }
            let words = line[place.upperBound...].split(separator: " ")
            let marker: KnownHosts.Line.Marker =
                switch words.dropFirst().first {
                case "CA": .authority
                case "REVOKED": .revoked
                default: .none
                }
            return "\(words[0]) \(marker)"
        }
    }
}

/// Makes known_hosts files as nobody should write them.
private struct NastyKnownHosts {
    static let names = [
        "web1", "web2", "web1.example.com", "10.0.0.1", "::1", "[web1]:2222", "[::1]:2222",
        "[10.0.0.1]:2222", "a,b", "w*",
    ]
    private let keys: [String]
    private let hashed: [String]

    /// Makes some keys, and some names that `ssh-keygen -H` hides.
    init(in directory: TemporaryDirectory) throws {
        var keys: [String] = []
        for (name, type) in [("a", "ed25519"), ("b", "ecdsa"), ("c", "rsa -b 1024")] {
            try Command.shell("ssh-keygen -q -t \(type) -N '' -f \(name)", in: directory.path)
            let words = (directory.read("\(name).pub") ?? "").split(separator: " ").prefix(2)
            keys.append(words.joined(separator: " "))
        }
        let plain = Self.names.prefix(8).map { "\($0) \(keys[0])\n" }.joined()
        try directory.write(plain, to: "plain")
        try Command.shell("ssh-keygen -q -H -f plain >/dev/null 2>&1", in: directory.path)
        hashed = (directory.read("plain") ?? "").split(separator: "\n").compactMap {
            $0.split(separator: " ").first.map(String.init)
        }
        self.keys = keys
    }

    func file(_ random: inout SeededRandom) -> [UInt8] {
        var bytes: [UInt8] = []
        for _ in 0..<Int.random(in: 1...8, using: &random) {
            bytes += Array(line(&random).utf8)
            bytes += pick(["\n", "\n", "\n", "\r\n", "\n\n", " \n"], &random).utf8
        }
        if Int.random(in: 0..<5, using: &random) == 0, bytes.last == 0x0A { bytes.removeLast() }
        return bytes
    }

    private func pick<T>(_ list: [T], _ random: inout SeededRandom) -> T {
        list[Int.random(in: 0..<list.count, using: &random)]
    }

    private func isRare(_ random: inout SeededRandom, _ often: Int = 8) -> Bool {
        Int.random(in: 0..<often, using: &random) == 0
    }

    private func line(_ random: inout SeededRandom) -> String {
        if isRare(&random, 12) {
            return pick(
                [
                    "", "#", "# web1 \(keys[0])", "web1", "web1 ", "@revoked", "@revoked web1", ",",
                    "|1|", "web1 ssh-ed25519", "@ web1 \(keys[0])", "\t# x",
                    "web1 1024 35 1234567890", "@REVOKED web1 \(keys[0])",
                    "@revoked @revoked web1 \(keys[0])", "*", "!web1",
                ],
                &random
            )
        }
        let start = isRare(&random) ? pick([" ", "\t", "  \t"], &random) : ""
        let marker =
            isRare(&random, 4)
            ? pick(["@revoked ", "@cert-authority ", "@cert-authority\t", "@other "], &random) : ""
        let space = isRare(&random) ? pick(["\t", "  ", " \t "], &random) : " "
        let end =
            isRare(&random, 4)
            ? pick([" comment", " a b c", "\t# x", "  ", "=", " \(keys[0])"], &random) : ""
        return start + marker + names(&random) + space + key(&random) + end
    }

    private func names(_ random: inout SeededRandom) -> String {
        if isRare(&random, 4) {
            var name = pick(hashed, &random)
            if isRare(&random) {
                name = pick(
                    [
                        "|1|" + name, name + "|", name + ",web1", "web1," + name,
                        String(name.dropLast(2)), name.replacing("|1|", with: "|2|"), "|1||",
                        "|1|AAAA|AAAA", "!" + name,
                    ],
                    &random
                )
            }
            return name
        }
        let count = isRare(&random, 3) ? Int.random(in: 2...4, using: &random) : 1
        let list = (0..<count).map { _ in name(&random) }
        return list.joined(separator: isRare(&random, 10) ? ",," : ",")
            + (isRare(&random, 15) ? "," : "")
    }

    private func name(_ random: inout SeededRandom) -> String {
        let name = pick(Self.names, &random)
        let odd =
            isRare(&random, 3)
            ? pick(
                [
                    name.uppercased(), "*", "?eb1", "web?", "*.example.com", "[*]:2222",
                    "[web?]:22*",
                    "*1*", "[\(name)]:22", "\(name):22", "[\(name)]", "we[b]1", "\\web1",
                    "\"web1\"",
                    "", "**", "10.0.0.*", "10.0.0.0/24", "?:1", "[::1]:*",
                ],
                &random
            ) : name
        return (isRare(&random, 6) ? "!" : "") + odd
    }

    private func key(_ random: inout SeededRandom) -> String {
        let key = pick(keys, &random)
        guard isRare(&random, 10) else { return key }
        let words = key.split(separator: " ").map(String.init)
        return pick(
            [
                String(key.dropLast()), String(key.dropLast(4)), key + "AAAA", "\(words[1])",
                "ssh-rsa \(words[1])", "\(words[0])  \(words[1])", "ssh-dss \(words[1])",
                "\(words[0]) \(words[1].prefix(20))\t\(words[1].dropFirst(20))",
                words[0].uppercased(),
                "\(words[0]) \"\(words[1])\"", "\(words[0]) AAAA", "\(words[0]) ====",
            ],
            &random
        )
    }
}
