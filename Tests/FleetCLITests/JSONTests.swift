import FleetTestSupport
import Foundation
import Testing

/// Everything that prints JSON; ``JSONForms`` holds each line against its schema.
@Suite(.serialized) struct JSONTests {
    private let fixture: FleetFixture

    init() throws { fixture = try FleetFixture(hosts: 1) }

    @Test("Every command's JSON is as its schema says, also when it fails")
    func everyForm() throws {
        #expect(
            try fixture.fleet("deploy", "production", "--tag", "v1.0.0", "-o", "json").output
                .contains(#""type":"rollout.ended""#)
        )
        for command in [
            ["history"], ["audit"], ["show", "last"], ["events"], ["report", "last"],
            ["explain", "last"], ["explain", "E_DIRTY"], ["status", "production"],
            ["hosts", "production"], ["hosts", "production", "--explain", "web1"],
            ["health", "production"], ["check"], ["doctor", "production"],
            ["plan", "production", "--tag", "v1.1.0"], ["diff", "production", "--tag", "v1.1.0"],
            ["stats", "production"], ["exec", "production", "--", "true"],
        ] {
            var words = command
            words.insert(contentsOf: ["-o", "json"], at: 1)
            let result = try fixture.fleet(words, environment: [:])
            #expect(!result.output.isEmpty, "\(command): \(result.errors)")
            #expect([0, 1].contains(result.status), "\(command): \(result.errors)")
        }
        // What fails is told in words and as JSON.
        for command in [
            ["show", "nope"], ["deploy", "nowhere"], ["deploy", "production", "--tag", "v9.9.9"],
            ["history", "--outcome", "nice"], ["plan"], ["stats", "nowhere"],
            ["explain", "E_NO_SUCH"], ["resume", "-y"],
        ] {
            let result = try fixture.fleet(command + ["-o", "json"], environment: [:])
            #expect(result.status != 0)
            #expect(result.output.hasPrefix(#"{"v":1,"#), "\(command): \(result.output)")
            #expect(result.output.contains(#""type":"error""#), "\(command)")
            #expect(!result.errors.isEmpty, "\(command)")
        }
    }

    @Test("Problems in files are JSON with their places, and SARIF for code scanning")
    func problems() throws {
        let file = fixture.directory.path + "/sarif.json"
        #expect(try fixture.fleet("check", "--sarif", file).status == 0)
        #expect(
            try String(contentsOfFile: file, encoding: .utf8).contains(#""results":[]"#)
        )
        try fixture.directory.write(
            "steps:\n  - name: a\n    runn: true\n",
            to: "project/playbooks/bad.yml"
        )
        let printed = try fixture.fleet("check", "--sarif", "-")
        #expect(printed.output.contains(#""version":"2.1.0""#))
        let result = try fixture.fleet("check", "--sarif", file, "-o", "json")
        #expect(result.status == 65)
        #expect(result.output.contains(#""line":"#), "\(result.output)")
        let log = try JSONSerialization.jsonObject(
            with: Data(contentsOf: URL(fileURLWithPath: file))
        )
        let run = ((log as? [String: Any])?["runs"] as? [[String: Any]])?.first
        let found = try #require((run?["results"] as? [[String: Any]])?.first)
        #expect(found["ruleId"] as? String == "invalid-file")
        let place = (found["locations"] as? [[String: Any]])?.first?["physicalLocation"]
        let physical = try #require(place as? [String: Any])
        let uri = (physical["artifactLocation"] as? [String: String])?["uri"]
        #expect(uri == "playbooks/bad.yml", "\(physical)")
        #expect(((physical["region"] as? [String: Int])?["startLine"] ?? 0) >= 1)
    }
}
