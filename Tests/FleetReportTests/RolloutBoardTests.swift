import FleetPlan
import FleetReport
import FleetRollout
import FleetTransport
import Testing

struct RolloutBoardTests {
    private func board(_ count: Int, stopAfter events: Int = .max) -> RolloutBoard {
        let hosts = (1...count).map { HostName("web\($0)") }
        let plan = Play.plan(
            [Array(hosts.prefix(1)), Array(hosts.dropFirst())],
            maxFailures: count
        )
        let play = Play(plan, stopAfter: events) { host, what in
            host.text.hasSuffix("7") && what == "install" ? Failure("exited 1: no space left") : nil
        }
        var board = RolloutBoard(plan: plan)
        board.take(play.entries)
        return board
    }

    @Test("A thousand hosts are forty rows, failing ones first, and every other one is counted")
    func thousand() throws {
        let board = board(1_000)
        let (rows, rest) = board.rows()
        #expect(rows.count == RolloutBoard.mostRows)
        #expect(rows.allSatisfy { $0.failure != nil && $0.host.hasSuffix("7") })
        #expect(rest.map(\.count).reduce(rows.count, +) == 1_000)
        #expect(rest.allSatisfy { $0.hosts.utf8.count < 6_000 })
        let causes = board.failures()
        #expect(
            causes.count == 1 && causes[0].count == 100 && causes[0].cause.contains("no space left")
        )
        #expect(board.strip().map(\.counts.failed) == [0, 100])
        // One that is asked for is there, whatever it is at.
        #expect(board.rows(limit: 1, with: "web998").rows.map(\.host) == ["web998"])
    }

    @Test("Steps are waiting, under way, done or failed, as the records say")
    func cells() throws {
        let early = board(3, stopAfter: 4)
        let row = try #require(early.rows(limit: 1, with: "web1").rows.first)
        #expect(
            row.cells.map(\.name) == ["pull", "install"]
                && row.cells.map(\.cell) == [.ok, .running]
        )
        #expect(row.isRunning && row.milliseconds != nil && row.batch == 1)
        let waiting = try #require(early.rows(limit: 1, with: "web3").rows.first)
        #expect(waiting.cells.map(\.cell) == [.waiting, .waiting] && waiting.milliseconds == nil)
        #expect(waiting.batch == 2 && waiting.state == "waiting" && !waiting.isGood)
        let failed = try #require(board(7).rows(limit: 1, with: "web7").rows.first)
        #expect(failed.cells.map(\.cell) == [.ok, .failed] && !failed.isGood)
    }

    @Test("A record that comes again changes nothing, and the end is told")
    func again() throws {
        var board = board(3)
        let before = (board.sequence, board.course.count, board.done)
        let plan = board.plan
        board.take(Play(plan).entries)
        #expect(
            board.sequence == before.0 && board.course.count == before.1 && board.done == before.2
        )
        #expect(board.phase == "succeeded" && board.done == 3)
        #expect(board.sentence?.contains("production runs v2.0.0") == true)
        #expect(board.course.last?.line == "end: succeeded" && board.course.last?.isBad == false)
        #expect(board.course.map(\.milliseconds) == board.course.map(\.milliseconds).sorted())
    }
}
