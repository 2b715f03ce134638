import Foundation
import Testing

/// docs/json.md and docs/schema.
struct JSONPageTests {
    private static let path = #filePath
    private static let root = String(
        path.prefix(upTo: path.range(of: "/Tests/")?.lowerBound ?? path.endIndex)
    )
    private static let marker = "<!-- What follows"

    private func schemas() throws -> [(name: String, schema: [String: Any])] {
        let folder = URL(fileURLWithPath: Self.root + "/docs/schema")
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map {
            file in
            let value = try JSONSerialization.jsonObject(
                with: Data(contentsOf: folder.appendingPathComponent(file))
            )
            return (String(file.dropLast(5)), try #require(value as? [String: Any]))
        }
    }

    /// A line for each field; those of objects inside are named with their path.
    private func rows(of schema: [String: Any], at path: String = "") -> [String] {
        guard let fields = schema["properties"] as? [String: [String: Any]] else { return [] }
        let required = Set(schema["required"] as? [String] ?? [])
        return fields.sorted { $0.key < $1.key }.flatMap { name, field -> [String] in
            let isThere = required.contains(name) ? "" : " (may be absent)"
            var type = field["type"] as? String ?? "constant"
            var inner = field
            var place = path + name
            while type == "array" || inner["items"] != nil {
                inner = inner["items"] as? [String: Any] ?? [:]
                place += "[]"
                type = inner["type"] as? String ?? "array"
            }
            var text = field["description"] as? String ?? ""
            if inner["items"] == nil, place.hasSuffix("[]"),
                let more = inner["description"] as? String
            {
                text += " Each: \(more)"
            }
            if let words = field["enum"] as? [String] {
                text += " One of: \(words.map { "`\($0)`" }.joined(separator: ", "))."
            }
            return ["| `\(place)` | \(type)\(isThere) | \(text) |"]
                + rows(of: inner, at: place + ".")
        }
    }

    @Test("docs/json.md names every field of every schema, as the schemas describe it")
    func page() throws {
        let file = Self.root + "/docs/json.md"
        let page = try String(contentsOfFile: file, encoding: .utf8)
        let head = try #require(page.range(of: Self.marker)?.lowerBound)
        let line = page[head...].prefix { $0 != "\n" }
        var wanted = page[..<head] + line + "\n"
        for (name, schema) in try schemas() {
            let title = try #require(schema["title"] as? String)
            let text = try #require(schema["description"] as? String)
            wanted +=
                "\n## \(name)\n\n\(title). \(text)\n\n| field | type | meaning |\n|---|---|---|\n"
            wanted += rows(of: schema).joined(separator: "\n") + "\n"
        }
        if ProcessInfo.processInfo.environment["FLEET_UPDATE_DOCS"] != nil {
            try Data(String(wanted).utf8).write(to: URL(fileURLWithPath: file))
        }
        #expect(page == wanted, "FLEET_UPDATE_DOCS=1 swift test --filter JSONPageTests")
    }

    @Test("Every field of a schema is described, and every form has its version")
    func described() throws {
        let all = try schemas()
        #expect(all.count >= 16)
        for (name, schema) in all {
            let fields = try #require(schema["properties"] as? [String: [String: Any]])
            #expect((fields["v"]?["const"] as? Int) == 1, "\(name)")
            #expect((schema["required"] as? [String])?.contains("v") == true, "\(name)")
            for (field, value) in fields {
                let text = value["description"] as? String ?? ""
                #expect(text.hasSuffix(".") || text.hasSuffix(";"), "\(name).\(field): \(text)")
            }
        }
    }
}
