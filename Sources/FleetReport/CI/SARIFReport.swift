internal import FleetDigest
public import FleetYAML

/// Problems in a project's files as SARIF 2.1.0, which code scanning reads (OASIS sarif-v2.1.0, and
/// docs.github.com/code-security/code-scanning/integrating-with-code-scanning/sarif-support-for-code-scanning).
public enum SARIFReport {
    private struct Log: Encodable {
        let schema = "https://json.schemastore.org/sarif-2.1.0.json"
        let version = "2.1.0"
        let runs: [Run]

        enum CodingKeys: String, CodingKey {
            case schema = "$schema"
            case version, runs
        }
    }

    private struct Run: Encodable {
        let tool: Tool
        let results: [Result]
    }

    private struct Tool: Encodable { let driver: Driver }

    private struct Driver: Encodable {
        let name = "fleet"
        let version: String
        let rules: [Rule]
    }

    private struct Rule: Encodable {
        let id: String
        let shortDescription: Text
    }

    private struct Text: Encodable { let text: String }

    private struct Result: Encodable {
        let ruleId: String
        let level = "error"
        let message: Text
        let locations: [Location]
        let partialFingerprints: [String: String]
    }

    private struct Location: Encodable { let physicalLocation: Physical }

    private struct Physical: Encodable {
        let artifactLocation: Artifact
        let region: Region
    }

    private struct Artifact: Encodable { let uri: String }

    private struct Region: Encodable {
        let startLine: Int
        let startColumn: Int
    }

    /// GitHub shows the first 5,000 results of a run.
    private static let limit = 5_000

    /// The file.
    ///
    /// - Parameters:
    ///   - diagnostics: The problems; none for a project without any.
    ///   - version: The program's version.
    ///   - folder: The project's folder below the repository's, with a slash at its end; files are named from there.
    /// - Returns: UTF-8 JSON.
    public static func text(_ diagnostics: Diagnostics?, version: String, in folder: String = "")
        -> String
    {
        let problems = diagnostics?.all ?? []
        let results = problems.prefix(limit).map { problem in
            let hints = problem.hints.map { "\n\($0)" }.joined()
            let file = folder + (problem.location?.file ?? Self.file(in: problem.message))
            return Result(
                ruleId: rule(of: problem),
                message: Text(text: problem.message + hints),
                locations: [
                    Location(
                        physicalLocation: Physical(
                            artifactLocation: Artifact(uri: uri(file)),
                            region: Region(
                                startLine: max(1, problem.location?.line ?? 1),
                                startColumn: max(1, problem.location?.column ?? 1)
                            )
                        )
                    )
                ],
                // Where a line moves, the problem is the same.
                partialFingerprints: [
                    "fleet/v1": SHA256Digest(of: Array("\(file)\n\(problem.message)".utf8))
                        .description
                ]
            )
        }
        let rules = Set(results.map(\.ruleId)).sorted().map {
            Rule(
                id: $0,
                shortDescription: Text(text: ErrorCatalog.entry(for: $0)?.cause ?? invalid)
            )
        }
        let driver = Driver(version: version, rules: rules)
        let log = Log(runs: [Run(tool: Tool(driver: driver), results: Array(results))])
        return String(decoding: CanonicalJSON.encode(log), as: UTF8.self) + "\n"
    }

    /// The file that a message without a place names first.
    private static func file(in message: String) -> String {
        let named = message.split { " `:'\"".contains($0) }.first { word in
            word.hasSuffix(".yml") || word.hasSuffix(".yaml")
        }
        return named.map(String.init) ?? "inventory"
    }

    private static let invalid = "A file of the project says something that fleet cannot do."

    private static func rule(of problem: Diagnostic) -> String {
        ErrorCatalog.code(in: problem.message) ?? "invalid-file"
    }

    /// A path as the part of a URI that it is (RFC 3986, 3.3).
    private static func uri(_ path: String) -> String {
        path.utf8.map { byte in
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "/"), UInt8(ascii: "-"),
                UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                return String(UnicodeScalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                return "%" + (digits.count == 1 ? "0" : "") + digits
            }
        }.joined()
    }
}
