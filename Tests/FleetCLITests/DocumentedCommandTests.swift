import FleetTestSupport
import Foundation
import Testing

/// The commands that pages show are typed, one after the other, as a reader would.
@Suite(.serialized) struct DocumentedCommandTests {
    @Test(
        "Every command in the pages about output, CI and JSON does what it says",
        arguments: ["docs/output.md", "docs/ci.md", "docs/json.md"]
    )
    func pages(file: String) throws {
        let fixture = try FleetFixture(hosts: 1)
        #expect(try fixture.fleet("deploy", "production", "--tag", "v1.0.0").status == 0)
        let page = try String(contentsOfFile: Package.root + "/" + file, encoding: .utf8)
        var isShell = false
        var count = 0
        for line in page.split(separator: "\n") {
            if line.hasPrefix("```") {
                isShell = line == "```sh"
                continue
            }
            guard isShell else { continue }
            let words = line.split(separator: " ").map { $0.trimmingCharacters(in: ["\""]) }
            #expect(words.first == "fleet", "\(line)")
            count += 1
            let result = try fixture.fleet(Array(words.dropFirst()), environment: [:])
            #expect(result.status == 0, "\(line)\n\(result.output)\(result.errors)")
        }
        #expect(count > 2)
    }
}
