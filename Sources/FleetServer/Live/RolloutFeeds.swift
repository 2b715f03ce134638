internal import FleetOperations
internal import FleetPlan
internal import FleetReport
internal import FleetRollout
internal import Synchronization

/// What a rollout's page shows, worked out once for all who watch it.
///
/// A rollout that somebody watches is followed once, whoever carries it out on this machine. What is sent is the page's
/// live part as it is now, at most twice a second: whoever reads slowly misses what was in between and nothing else.
final class RolloutFeeds: Sendable {
    /// A picture of a rollout.
    struct Picture: Sendable {
        /// The number of the last record that is in it.
        let sequence: Int
        /// The page's live part.
        let html: String
        /// Whether nothing more comes.
        let isOver: Bool
    }

    private let engine: ServerEngine
    private let draw: @Sendable (RolloutBoard, RolloutID) -> String
    private let feeds = Mutex<[RolloutID: Feed]>([:])
    /// The shortest time between two pictures, in milliseconds.
    private static let intervalMilliseconds = 500

    init(_ engine: ServerEngine, draw: @escaping @Sendable (RolloutBoard, RolloutID) -> String) {
        self.engine = engine
        self.draw = draw
    }

    /// One rollout that is watched.
    private final class Feed: Sendable {
        struct State {
            var picture: Picture?
            var watchers = 0
            var task: Task<Void, Never>?
        }

        let state = Mutex(State())
        let bell = Bell()
    }

    /// Follows a rollout for somebody.
    ///
    /// - Parameters:
    ///   - id: The rollout.
    ///   - take: Gets each picture; returns whether more is wanted.
    func watch(_ id: RolloutID, _ take: (Picture) async -> Bool) async {
        let feed = feeds.withLock { feeds in
            let feed = feeds[id] ?? Feed()
            feeds[id] = feed
            // In here, so that nobody takes it away between the two.
            feed.state.withLock { state in
                state.watchers += 1
                if state.task == nil { state.task = Task { await self.follow(id, feed) } }
            }
            return feed
        }
        defer { leave(id, feed) }
        var last = -1
        while !Task.isCancelled {
            let rings = feed.bell.rings
            if let picture = feed.state.withLock({ $0.picture }), picture.sequence != last || picture.isOver {
                last = picture.sequence
                guard await take(picture), !picture.isOver else { return }
            }
            await feed.bell.wait(beyond: rings, milliseconds: 15_000)
            // Nothing for a while: a comment keeps proxies from closing the connection.
            if feed.bell.rings == rings, await !take(Picture(sequence: last, html: "", isOver: false)) { return }
        }
    }

    private func leave(_ id: RolloutID, _ feed: Feed) {
        feeds.withLock { feeds in
            let isLast = feed.state.withLock { state in
                state.watchers -= 1
                guard state.watchers == 0 else { return false }
                state.task?.cancel()
                return true
            }
            if isLast, feeds[id] === feed { feeds[id] = nil }
        }
    }

    private func follow(_ id: RolloutID, _ feed: Feed) async {
        do {
            let followed = try await engine.controller.followed(id.description)
            let shared = Shared(followed.plan)
            let drawing = Task { await self.keepDrawing(id, shared, feed) }
            defer { drawing.cancel() }
            _ = try await followed.follow { shared.take($0) }
        } catch {
            engine.say("a rollout that somebody watches cannot be followed: \(error)")
        }
        // Whoever watches sees how it stands, and that nothing more comes.
        feed.state.withLock { state in
            guard let picture = state.picture else { return }
            state.picture = Picture(sequence: picture.sequence, html: picture.html, isOver: true)
        }
        feed.bell.ring()
    }

    /// The board that is filled by one task and drawn by another.
    private final class Shared: Sendable {
        let board: Mutex<RolloutBoard>
        init(_ plan: Plan) { board = Mutex(RolloutBoard(plan: plan)) }
        func take(_ entries: [JournalEntry]) { board.withLock { $0.take(entries) } }
    }

    private func keepDrawing(_ id: RolloutID, _ shared: Shared, _ feed: Feed) async {
        var last = -1
        while !Task.isCancelled {
            let board = shared.board.withLock { $0 }
            if board.sequence != last {
                last = board.sequence
                let picture = Picture(sequence: last, html: draw(board, id), isOver: false)
                feed.state.withLock { $0.picture = picture }
                feed.bell.ring()
            }
            // Cancelled when there is nothing more to draw.
            try? await Task.sleep(for: .milliseconds(Self.intervalMilliseconds))
        }
    }
}
