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
        /// Rises with every picture.
        let number: Int
        /// The number of the last record that is in it.
        let sequence: Int
        /// The page's live part.
        let html: String
        /// Whether nothing more comes.
        let isOver: Bool
    }

    private let engine: ServerEngine
    private let draw: @Sendable (RolloutBoard, RolloutID, Int) -> String
    private let feeds = Mutex<[RolloutID: Feed]>([:])
    /// The shortest time between two pictures, in milliseconds.
    private static let intervalMilliseconds = 500
    /// The longest time between two pictures, in these intervals: what takes long is seen to take longer.
    private static let longest = 4

    /// - Parameters:
    ///   - engine: The engine.
    ///   - draw: Makes the page's live part of a board, and of how many milliseconds have passed since its last record.
    init(_ engine: ServerEngine, draw: @escaping @Sendable (RolloutBoard, RolloutID, Int) -> String)
    {
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
            if let picture = feed.state.withLock({ $0.picture }),
                picture.number != last || picture.isOver
            {
                last = picture.number
                guard await take(picture), !picture.isOver else { return }
            }
            await feed.bell.wait(beyond: rings, milliseconds: 15_000)
            // Nothing for a while: a comment keeps proxies from closing the connection.
            let nothing = Picture(number: last, sequence: 0, html: "", isOver: false)
            if feed.bell.rings == rings, await !take(nothing) { return }
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
            do {
                _ = try await followed.follow { shared.take($0) }
            } catch {
                engine.say("a rollout that somebody watches cannot be followed: \(error)")
            }
            // The last picture has everything in it.
            drawing.cancel()
            await drawing.value
            paint(id, shared, feed)
        } catch {
            engine.say("a rollout that somebody watches cannot be followed: \(error)")
        }
        // Whoever watches sees how it stands, and that nothing more comes.
        feed.state.withLock { state in
            state.picture = Picture(
                number: (state.picture?.number ?? 0) + 1,
                sequence: state.picture?.sequence ?? 0,
                html: state.picture?.html ?? "",
                isOver: true
            )
        }
        feed.bell.ring()
    }

    /// The board that is filled by one task and drawn by another.
    private final class Shared: Sendable {
        let board: Mutex<(RolloutBoard, taken: ContinuousClock.Instant)>
        init(_ plan: Plan) { board = Mutex((RolloutBoard(plan: plan), .now)) }
        func take(_ entries: [JournalEntry]) {
            board.withLock { state in
                state.0.take(entries)
                state.taken = .now
            }
        }
    }

    private func keepDrawing(_ id: RolloutID, _ shared: Shared, _ feed: Feed) async {
        var last = -1
        var idle = 0
        while !Task.isCancelled {
            let sequence = shared.board.withLock { $0.0.sequence }
            idle += 1
            if sequence != last || idle >= Self.longest {
                last = sequence
                idle = 0
                paint(id, shared, feed)
            }
            // Cancelled when there is nothing more to draw.
            try? await Task.sleep(for: .milliseconds(Self.intervalMilliseconds))
        }
    }

    private func paint(_ id: RolloutID, _ shared: Shared, _ feed: Feed) {
        let (board, taken) = shared.board.withLock { $0 }
        let isOver = board.rollout.outcome != nil
        let since = isOver ? 0 : Int((ContinuousClock.now - taken) / .milliseconds(1))
        let html = draw(board, id, since)
        feed.state.withLock { state in
            state.picture = Picture(
                number: (state.picture?.number ?? 0) + 1,
                sequence: board.sequence,
                html: html,
                isOver: false
            )
        }
        feed.bell.ring()
    }
}
