import FleetServing
import FleetTestSupport
import FleetYAML
import Foundation
import HTTPTypes
import Testing

@testable import FleetServer

/// openapi.yaml and docs/api.md against the program's routes.
struct OpenAPITests {
    private func member(_ name: String, of node: YAMLNode?) -> YAMLNode? {
        guard case .mapping(let pairs) = node?.content else { return nil }
        return pairs.first { $0.key == name }?.value
    }

    private func text(_ node: YAMLNode?) -> String? {
        if case .scalar(let text, _) = node?.content { text } else { nil }
    }

    @Test("Every route is described, with its right, and nothing else is")
    func routes() async throws {
        let server = try ServerFixture()
        try server.commit("first")
        try await server.start()
        let table = try await FleetServer(server.engine, fastPasswords: true).table
        var program: [String: String] = [:]
        for route in table.routes where route.path.hasPrefix("/api/v1/") {
            let right: String =
                switch route.need {
                case .nothing, .account: "any"
                case .server(let right), .environment(let right), .rollout(let right),
                    .named(let right):
                    right.rawValue
                }
            program["\(route.method.rawValue) \(route.path.dropFirst("/api/v1".count))"] = right
        }
        await server.stop()
        let file = try String(contentsOfFile: Package.root + "/openapi.yaml", encoding: .utf8)
        let document = try YAMLDocument.parse(file, file: "openapi.yaml")
        guard case .mapping(let paths) = member("paths", of: document)?.content else {
            return #expect(Bool(false), "no paths")
        }
        var described: [String: String] = [:]
        var fields: Set<String> = []
        for path in paths {
            guard case .mapping(let operations) = path.value.content else { continue }
            for operation in operations where operation.key != "parameters" {
                described["\(operation.key.uppercased()) \(path.key)"] = text(
                    member("x-right", of: operation.value)
                )
                #expect(
                    text(member("summary", of: operation.value))?.hasSuffix(".") == true,
                    "\(path.key)"
                )
                #expect(member("responses", of: operation.value) != nil)
                let json = member(
                    "application/json",
                    of: member("content", of: member("requestBody", of: operation.value))
                )
                guard
                    case .mapping(let properties) = member(
                        "properties",
                        of: member("schema", of: json)
                    )?.content
                else { continue }
                fields.formUnion(properties.map(\.key))
            }
        }
        #expect(described == program)
        // What a body may hold is what the program reads.
        let known = Set(Mirror(reflecting: try APIRequest.empty()).children.compactMap(\.label))
        #expect(fields == known, "\(fields.symmetricDifference(known))")
        let page = try String(contentsOfFile: Package.root + "/docs/api.md", encoding: .utf8)
        for name in program.keys { #expect(page.contains("| `\(name)` |"), "\(name)") }
    }
}
