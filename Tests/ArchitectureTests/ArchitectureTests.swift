import FleetTestSupport
import Foundation
import Testing

/// Reads the sources and holds them to the rules of `docs/architecture.md`.
struct ArchitectureTests {
    private struct Source {
        let module: String
        let name: String
        let text: String

        var imports: [String] {
            text.split(separator: "\n").compactMap { line in
                let words = line.split(separator: " ")
                guard words.contains("import"), !line.hasPrefix("//"), !line.hasPrefix(" ") else {
                    return nil
                }
                return words.last.map(String.init)
            }
        }
    }

    private static let sources: [Source] = {
        let root = Package.root + "/Sources"
        let files = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? []
        return files.filter { $0.hasSuffix(".swift") }.sorted().compactMap { file in
            guard let text = try? String(contentsOfFile: root + "/" + file, encoding: .utf8) else {
                return nil
            }
            return Source(module: String(file.prefix { $0 != "/" }), name: file, text: text)
        }
    }()

    private static let pure = [
        "FleetYAML", "FleetTransport", "FleetInventory", "FleetPlaybook", "FleetPlan",
        "FleetRollout", "FleetReport", "FleetServing",
    ]

    /// Who may import which outside library: one library, one module.
    private static let owners: [String: Set<String>] = [
        "Yams": ["FleetYAML"], "Mustache": ["FleetPlaybook", "FleetServer"],
        "GRDB": ["FleetJournal"],
        "ArgumentParser": ["fleet"],
        "NIOCore": ["FleetHTTP", "FleetWeb", "FleetServer"], "NIOEmbedded": ["FleetHTTP"],
        "NIOHTTP1": ["FleetHTTP", "FleetWeb", "FleetServer"],
        // libssh2 and the libcrypto under it; hashing alone is FleetDigest's.
        "CLibSSH2": ["FleetSSH", "FleetDigest"],
        // How memory is set aside concerns the whole process.
        "CMalloc": ["fleet"],
        // What Swift's Glibc leaves out: epoll for the reactors, memmem for the shell's reader, memfd for a
        // proxy command's complaints.
        "AsyncHTTPClient": ["FleetWeb"], "NIOSSL": ["FleetWeb", "FleetServer"],
        // The server, and what its accounts and its log need.
        "Hummingbird": ["FleetServer"], "HummingbirdCore": ["FleetServer"],
        "HTTPTypes": ["FleetServer"], "NIOHTTPTypes": ["FleetServer"], "Crypto": ["FleetServer"],
        "CryptoExtras": ["FleetServer"],
        "Logging": ["FleetServer"], "UnixSignals": ["fleet-server"],
        "CLinux": ["FleetReactor", "FleetHostShell", "FleetSSH"],
    ]

    @Test func thereAreSourcesToRead() {
        #expect(Self.sources.count > 60)
        #expect(Set(Self.pure).isSubset(of: Set(Self.sources.map(\.module))))
    }

    @Test func thePureCoreHasNoSurroundings() {
        let banned = ["Foundation", "FoundationEssentials", "Dispatch", "Glibc", "Synchronization"]
        for source in Self.sources where Self.pure.contains(source.module) {
            for name in source.imports {
                #expect(!banned.contains(name), "\(source.name) imports \(name)")
            }
        }
    }

    @Test func thePureCoreHasNoClockNoChanceAndNoTasks() throws {
        let banned = try Regex(
            #"\b(Task|Date|Clock|ContinuousClock|random|await|DispatchQueue)\b[^`/]"#
        )
        for source in Self.sources where Self.pure.contains(source.module) {
            // The protocols of the transport are the one exception: their signatures are async.
            guard source.name != "FleetTransport/Transport.swift" else { continue }
            for line in source.text.split(separator: "\n")
            where !line.drop(while: { $0 == " " }).hasPrefix("//") {
                #expect(line.firstMatch(of: banned) == nil, "\(source.name): \(line)")
            }
        }
    }

    @Test func oneOutsideLibraryOneModule() {
        for source in Self.sources {
            for name in source.imports {
                guard let owners = Self.owners[name] else { continue }
                #expect(owners.contains(source.module), "\(source.name) imports \(name)")
            }
        }
    }

    @Test(
        "A face parses, asks FleetOperations and shows: it is small, and knows neither journal nor runner"
    )
    func aFaceDecidesNothing() {
        let face = Self.sources.filter { $0.module == "fleet" }
        let size = face.map {
            $0.text.split(separator: "\n", omittingEmptySubsequences: false).count
        }
        #expect(size.reduce(0, +) < 2_600, "what shows something belongs in FleetTerminal")
        for source in face {
            let engine = ["FleetJournal", "FleetRunner", "FleetProject"]
            #expect(!source.imports.contains(where: engine.contains), "\(source.name)")
            let lines = source.text.split(separator: "\n", omittingEmptySubsequences: false)
            #expect(
                !source.name.hasPrefix("fleet/Commands/") || lines.count <= 81,
                "\(source.name) has \(lines.count) lines"
            )
        }
    }

    @Test func theUseCasesKnowNoFace() {
        let banned = [
            "ArgumentParser", "getenv", "STDIN_FILENO", "STDOUT_FILENO",
            "STDERR_FILENO", "exit(", "print(", "readLine", "isatty",
        ]
        for source in Self.sources where source.module == "FleetOperations" {
            for line in source.text.split(separator: "\n")
            where !line.drop(while: { $0 == " " }).hasPrefix("//") {
                for word in banned {
                    #expect(!line.contains(word), "\(source.name): \(line)")
                }
            }
        }
    }

    @Test func socketsAreWatchedByTheReactorOnly() {
        for source in Self.sources where source.module != "fleet" {
            // Signals are no sockets.
            #expect(
                !source.text.contains("DispatchSource.")
                    || source.name == "FleetTerminal/OperatorSignals.swift",
                "\(source.name)"
            )
            #expect(!source.text.contains("Task.detached"), "\(source.name)")
        }
    }

    @Test func everyUncheckedPromiseGivesItsReason() {
        for source in Self.sources {
            let lines = source.text.split(separator: "\n", omittingEmptySubsequences: false)
            for (number, line) in lines.enumerated()
            where line.contains("@unchecked Sendable {") || line.hasSuffix("@unchecked Sendable") {
                let comment = lines[..<number].reversed()
                    .prefix { $0.drop { $0 == " " }.hasPrefix("///") }
                let isExplained = comment.contains { $0.contains("`@unchecked Sendable`:") }
                #expect(isExplained, "\(source.name):\(number + 1)")
            }
        }
    }

    @Test func everyStepAndSmokeKindIsDocumented() throws {
        let text = try String(contentsOfFile: Package.root + "/docs/playbooks.md", encoding: .utf8)
        for folder in ["Steps", "Smoke"] {
            for source in Self.sources where source.name.contains("/\(folder)/") {
                let key = try #require(
                    source.text.firstMatch(of: /static let key = "([a-z_]+)"/)?.1
                )
                #expect(text.contains("`\(key)`"), "\(key) has no place in docs/playbooks.md")
            }
        }
    }

    /// The suites that name a row of docs/faults.md: in a test's name (`"O17: of two …"`), or in the
    /// line above it (`/// Row H9.`).
    private func proofs() throws -> [String: Set<String>] {
        var proofs: [String: Set<String>] = [:]
        let root = Package.root + "/Tests"
        let paths = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? []
        for path in paths where path.hasSuffix("Tests.swift") {
            let text = try String(contentsOfFile: root + "/" + path, encoding: .utf8)
            let suite = path.split(separator: "/").last?.dropLast(".swift".count) ?? ""
            let names = text.matches(of: /@Test\(\s*"((?:[ONHSK]\d+(?:, )?)+):/).map(\.output.1)
            let marks = text.matches(of: /\/\/\/ Rows? ((?:[ONHSK]\d+(?:, )?)+)\./).map(\.output.1)
            for row in (names + marks).joined(separator: ", ").split(separator: ", ") {
                proofs[String(row), default: []].insert("`\(suite)`")
            }
        }
        for path in paths where path.contains("/Transcripts/") {
            let text = try String(contentsOfFile: root + "/" + path, encoding: .utf8)
            guard let rows = text.firstMatch(of: #/^# ((?:[ONHSK]\d+(?:, )?)+): /#)?.1 else {
                continue
            }
            for row in rows.split(separator: ", ") {
                proofs[String(row), default: []].insert("`TranscriptTests`")
            }
        }
        return proofs
    }

    /// `FLEET_UPDATE_DOCS=1` writes the column anew.
    @Test func theFaultTableSaysWhatTheTestsProve() throws {
        let path = Package.root + "/docs/faults.md"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let proofs = try proofs()
        var rows: Set<String> = []
        let lines = text.components(separatedBy: "\n").map { line in
            var cells = line.components(separatedBy: " | ")
            guard line.hasPrefix("| "), cells.count == 4,
                let row = cells[0].firstMatch(of: /^\| ([ONHSK]\d+)$/)?.1
            else { return line }
            rows.insert(String(row))
            cells[3] = (proofs[String(row)]?.sorted().joined(separator: ", ") ?? "*open*") + " |"
            return cells.joined(separator: " | ")
        }
        let told = lines.joined(separator: "\n")
        if ProcessInfo.processInfo.environment["FLEET_UPDATE_DOCS"] != nil {
            try told.write(toFile: path, atomically: true, encoding: .utf8)
        }
        #expect(told == text, "docs/faults.md is not what the tests prove")
        #expect(rows.count == 140)
        #expect(Set(proofs.keys).isSubset(of: rows), "a test names a row that is not there")
    }

    @Test("Every conclusion names the tests that try to deceive it, or says that there are none")
    func theObservationsNameTestsThatExist() throws {
        let text = try String(
            contentsOfFile: Package.root + "/docs/observations.md",
            encoding: .utf8
        )
        let paths =
            FileManager.default.enumerator(atPath: Package.root + "/Tests")?.compactMap {
                $0 as? String
            } ?? []
        var suites: Set<String> = []
        for path in paths where path.hasSuffix("Tests.swift") {
            let source = try String(
                contentsOfFile: Package.root + "/Tests/" + path,
                encoding: .utf8
            )
            suites.formUnion(source.matches(of: /struct ([A-Za-z]+Tests)\b/).map { String($0.1) })
        }
        let rows = text.split(separator: "\n").filter {
            $0.hasPrefix("| ") && $0.split(separator: "|").count == 5
        }
        #expect(rows.count > 150)
        for row in rows where !row.hasPrefix("| conclusion") {
            let proof = row.split(separator: "|")[4].trimmingCharacters(in: .whitespaces)
            if proof == "open" || proof == "-" { continue }
            let named = proof.matches(of: /`([^`]+)`/).map { String($0.1) }
            #expect(!named.isEmpty, "\(row)")
            for name in named where !name.hasPrefix("scripts/") {
                #expect(suites.contains(name), "\(name): \(row)")
            }
        }
    }

    @Test func everyTranscriptTellsSomething() throws {
        let folder = Package.root + "/Tests/FleetRolloutTests/Transcripts"
        for story in try FileManager.default.contentsOfDirectory(atPath: folder) {
            let text = try String(contentsOfFile: folder + "/" + story, encoding: .utf8)
            #expect(text.contains("FINISH"), "\(story) has no end")
        }
    }

    @Test func noUnfinishedMarks() {
        for source in Self.sources {
            for mark in ["TO" + "DO", "FIX" + "ME", "XX" + "X"] {
                #expect(!source.text.contains(mark), "\(source.name)")
            }
        }
    }
}
