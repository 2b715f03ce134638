import FleetPlan
import FleetRollout
import FleetTestSupport
import Foundation
import Testing

struct ExitStatusTests {
    @Test func everyOutcomeHasItsOwnStatus() {
        let statuses = RolloutOutcome.allCases.map { ExitStatus($0, of: .deploy).rawValue }
        #expect(statuses == [0, 10, 11, 12, 20, 21, 30])
    }

    @Test func anUnhappyExecIsAPlainNo() {
        #expect(ExitStatus(.held, of: .exec) == .saidNo)
        #expect(ExitStatus(.unknown, of: .exec) == .unknown)
    }

    @Test func theDocumentedTableIsComplete() throws {
        let text = try String(contentsOfFile: Package.root + "/docs/exit-codes.md", encoding: .utf8)
        for status in ExitStatus.allCases {
            #expect(text.contains("| \(status.rawValue) | "), "\(status) is not documented")
        }
    }

    @Test(arguments: ["", "A", "a b", "../x", "x/y", "é", String(repeating: "a", count: 65)])
    func aRolloutsNameIsASafeFileName(_ text: String) { #expect(RolloutID(text) == nil) }
}
