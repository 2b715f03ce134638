import FleetTestSupport
import Foundation
import Testing

/// What messages and pages tell people to type can be typed.
@Suite struct NextStepTests {
    private let directory: TemporaryDirectory

    init() throws {
        directory = try TemporaryDirectory()
        try directory.write(
            "hosts: [127.0.0.1]\nssh: { port: 1, connect_timeout: 1s }\n",
            to: "project/inventory/production.yml"
        )
        try directory.write("hosts: [127.0.0.1]\n", to: "project/inventory/staging.yml")
        try directory.write("steps:\n  - run: date\n", to: "project/playbooks/deploy.yml")
    }

    /// Runs a command line as a shell would; nil, or why it cannot be one of fleet's.
    private func complaint(about line: String) throws -> String? {
        let done = try Command.run(
            ["sh", "-c", "fleet() { \"$BINARY\" \"$@\"; }\n" + line],
            in: directory.path + "/project",
            environment: [
                "BINARY": Package.binary, "FLEET_STATE_DIR": directory.path + "/state",
                "HOME": directory.path, "SSH_AUTH_SOCK": "", "PATH": "/usr/bin:/bin", "CI": "1",
            ]
        )
        let said = done.output + done.errors
        guard let error = said.split(separator: "\n").first(where: { $0.hasPrefix("Error: ") })
        else {
            return done.status == 126 || done.status == 127 || said.contains("Syntax error")
                ? said : nil
        }
        return String(error)
    }

    /// Something for every value and every placeholder.
    private func filled(_ text: String) -> String {
        var line = text.replacing("\\\"", with: "\"").replacing("…", with: "x")
        let values: [(Regex<Substring>, String)] = [
            (/\\\([^()]*(?:\([^()]*\))*[^()]*environment[^()]*\)/, "production"),
            (/\\\([^()]*(?:staging|source)[^()]*\)/, "staging"),
            (/\\\(which\)/, "--tag v1.0.0"),
            (/\\\([^()]*(?:id|unfinished|rollout|owner)\)/, "20260101-000000-abcd"),
            (/\\\([^()]*(?:\([^()]*\)[^()]*)*\)/, "v1.0.0"),
            (/\bENV\b/, "production"), (/\bROLLOUT\b/, "20260101-000000-abcd"),
            (/\bPLAYBOOK\b/, "deploy"),
            (/\b(?:TAG|VERSION|T)\b/, "v1.0.0"), (/\bHOST\b/, "127.0.0.1"),
            (/\b(?:REASON|NAME|PATH|DIR|FILE|R)\b/, "x"),
        ]
        for (pattern, value) in values { line = line.replacing(pattern, with: value) }
        return line
    }

    private func sources() throws -> [(path: String, text: String)] {
        let root = Package.root + "/Sources"
        let paths = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? []
        return try paths.filter { $0.hasSuffix(".swift") }.sorted().map {
            ($0, try String(contentsOfFile: root + "/" + $0, encoding: .utf8))
        }
    }

    /// Row K7.
    @Test("Every next step that a message names is one that can be typed")
    func messages() throws {
        let verbs = Set(
            try Command.run([Package.binary, "--help"]).output
                .matches(of: /\n  ([a-z]+) {2,}/).map { String($0.1) }
        )
        var steps: Set<String> = []
        for (_, text) in try sources() {
            let whole = text.replacing(/"\s*\n\s*\+ "/, with: "")
            for line in whole.split(separator: "\n")
            where !line.trimmingCharacters(in: .whitespaces).hasPrefix("//") {
                // A hint of its own, and what stands between backquotes, if it has any word but the verb.
                for match in line.matches(
                    of: /"fleet ([a-z]+)((?:[^"\\]|\\\([^()]*(?:\([^()]*\)[^()]*)*\)|\\")*)"/
                )
                where verbs.contains(String(match.1)) {
                    let words =
                        String(match.2).split(separator: "    ", maxSplits: 1).first.map(
                            String.init
                        ) ?? ""
                    steps.insert("fleet \(match.1)\(words)")
                }
                for match in line.matches(
                    of: /`fleet ([a-z]+) ((?:[^`"\\]|\\\([^()]*(?:\([^()]*\)[^()]*)*\))+)`/
                )
                where verbs.contains(String(match.1)) {
                    steps.insert("fleet \(match.1) \(match.2)")
                }
            }
        }
        // Names of commands that take a verb of their own are no steps.
        let names: Set = [
            "fleet lock acquire", "fleet lock break", "fleet lock status", "fleet journal verify",
        ]
        let typed = steps.subtracting(names).filter {
            $0.contains("\\(") || $0.split(separator: " ").count > 2
        }
        #expect(typed.count > 30, "\(typed.count)")
        for step in typed.sorted() {
            let line = filled(step)
            let found = try complaint(about: line)
            #expect(found == nil, "`\(step)`, typed as `\(line)`: \(found ?? "")")
        }
    }

    /// Row K7.
    @Test("Every command line in README and docs is one that can be typed")
    func pages() throws {
        let pages = try FileManager.default.contentsOfDirectory(atPath: Package.root + "/docs")
            .filter { $0.hasSuffix(".md") }
        var count = 0
        for page in ["README.md"] + pages.sorted().map({ "docs/" + $0 }) {
            let text = try String(contentsOfFile: Package.root + "/" + page, encoding: .utf8)
            for block in text.matches(of: /```sh\n((?:.*\n)*?)```/) {
                for line in block.1.split(separator: "\n") where line.hasPrefix("fleet ") {
                    let command = line.split(separator: " #", maxSplits: 1)[0]
                    count += 1
                    let typed = filled(String(command))
                    let found = try complaint(about: typed)
                    #expect(found == nil, "\(page): `\(command)`: \(found ?? "")")
                }
            }
        }
        #expect(count > 20, "\(count)")
    }
}
