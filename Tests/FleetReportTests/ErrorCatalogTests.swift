import FleetReport
import FleetTestSupport
import Foundation
import Testing

/// The catalogue of error codes, beside what the sources print.
struct ErrorCatalogTests {
    /// Every code that a source file prints; comments are not printed.
    private func printed() throws -> Set<String> {
        let root = Package.root + "/Sources"
        let files = FileManager.default.enumerator(atPath: root)?.compactMap { $0 as? String } ?? []
        var codes: Set<String> = []
        for file in files where file.hasSuffix(".swift") || file.hasSuffix(".sh") {
            let text = try String(contentsOfFile: root + "/" + file, encoding: .utf8)
            for line in text.split(separator: "\n")
            where !line.drop(while: { $0 == " " }).hasPrefix("//") {
                codes.formUnion(line.matches(of: /\bE_[A-Z][A-Z0-9_]+/).map { String($0.output) })
            }
        }
        return codes
    }

    @Test(
        "Every code that fleet prints can be explained, and every explanation is of one that it prints"
    )
    func isComplete() throws {
        // What the command's own help and its page say by way of example is a code that exists.
        let printed = try printed().subtracting(["E_CODE"])
        let known = Set(ErrorCatalog.entries.map(\.code))
        #expect(printed.subtracting(known) == [], "not explained")
        #expect(known.subtracting(printed) == [], "explained, and never printed")
        #expect(known.count == ErrorCatalog.entries.count, "one explanation each")
        #expect(known.count > 80)
    }

    @Test func everyEntryIsWholeSentences() {
        for entry in ErrorCatalog.entries {
            for text in [entry.cause, entry.next, entry.scope.sentence] {
                let isName = ["sudo", "sshd", "git", "tar"].contains { text.hasPrefix($0 + " ") }
                let begins = isName || text.first?.isUppercase ?? false
                #expect(begins && text.last == ".", "\(entry.code): \(text)")
            }
        }
    }

    @Test("A code is found however it is typed, and a mistyped one leads to the right ones")
    func lookup() {
        for text in ["E_DIRTY", "dirty", "e_dirty", "DIRTY"] {
            #expect(ErrorCatalog.entry(for: text)?.code == "E_DIRTY")
        }
        #expect(ErrorCatalog.entry(for: "E_NOSUCH") == nil)
        #expect(ErrorText.hint(for: "hostkey").contains("E_HOSTKEY_CHANGED"))
        #expect(ErrorText.hint(for: "E_DIRTI").contains("E_DIRTY"))
        #expect(ErrorText.hint(for: "") == "`fleet explain` lists all of them")
    }

    @Test func thePageSaysCauseEffectAndNextStep() throws {
        let entry = try #require(ErrorCatalog.entry(for: "E_UNTRACKED"))
        #expect(
            ErrorText.page(of: entry, style: .plain) == """
                E_UNTRACKED  An untracked file is where the release has a file.

                unchanged  Nothing was changed on this host.
                next       Move it away on the host.
                """
        )
    }

    /// `FLEET_UPDATE_DOCS=1` writes it anew.
    @Test func theDocumentationIsTheCatalogue() throws {
        let path = Package.root + "/docs/errors.md"
        if ProcessInfo.processInfo.environment["FLEET_UPDATE_DOCS"] != nil {
            try ErrorText.markdown.write(toFile: path, atomically: true, encoding: .utf8)
        }
        #expect(try String(contentsOfFile: path, encoding: .utf8) == ErrorText.markdown)
    }

    /// Each of these suites runs real sshd, git, sudo, SQLite or shells, and provokes what it names.
    @Test("Most codes are provoked on real hosts and real programs by a test")
    func provoked() throws {
        let suites = [
            "FleetCLITests", "FleetSSHTests", "FleetClientsTests", "FleetRunnerTests",
            "FleetPlaybookTests",
        ]
        var named: Set<String> = []
        for suite in suites {
            let folder = Package.root + "/Tests/" + suite
            let files = FileManager.default.enumerator(atPath: folder)?.allObjects as? [String]
            for file in files ?? [] where file.hasSuffix(".swift") {
                let text = try String(contentsOfFile: folder + "/" + file, encoding: .utf8)
                named.formUnion(text.matches(of: /E_[A-Z][A-Z0-9_]*/).map { String($0.output) })
            }
        }
        let codes = Set(ErrorCatalog.entries.map(\.code))
        #expect(named.intersection(codes).count >= 75, "\(codes.subtracting(named).sorted())")
    }
}
