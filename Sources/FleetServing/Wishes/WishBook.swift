internal import FleetPlan

/// Decides which wishes there are and which one is next; it knows no clock, no store and no hosts.
public struct WishBook: Sendable {
    /// What becomes of a ref that was looked at.
    public enum Verdict: Sendable, Hashable {
        /// It is wanted, in place of the wishes with these numbers.
        case wanted(instead: [Int])
        /// It is not, for a reason in words.
        case known(String)
    }

    /// The wishes of one environment, the oldest first; those that are over may be left out if they are older than all
    /// tags that could still arrive.
    public let wishes: [Wish]

    /// Looks at an environment's wishes.
    public init(_ wishes: [Wish]) { self.wishes = wishes }

    /// Decides about a wish that would be added.
    ///
    /// - The same commit under the same name was wanted last, or at any time if it is a tag: nothing is done twice,
    ///   however often a delivery arrives. A tag that was moved names another commit, and is wanted anew.
    /// - A version below one that was wanted by the same hook is not deployed over it, in whatever order deliveries
    ///   arrive.
    /// - Otherwise it takes the place of everything that still waits.
    public func verdict(on wish: Wish) -> Verdict {
        let alike = wishes.filter { $0.hook == wish.hook && $0.ref == wish.ref }
        let isTag = wish.tag != nil
        let known = isTag ? alike.last { $0.commit == wish.commit } : alike.last
        if let known, known.commit == wish.commit {
            // A branch may have been elsewhere in between, by another rule.
            if isTag || wishes.last?.id == known.id {
                return .known("\(wish.label) was wanted before: \(known.state.word)")
            }
        }
        if let version = wish.tag.flatMap(SemanticVersion.init) {
            let higher = wishes.filter { other in
                guard other.hook == wish.hook, !Self.wasDroppedByAPerson(other),
                    let theirs = other.tag.flatMap(SemanticVersion.init)
                else { return false }
                return version < theirs
            }.last
            if let higher {
                return .known(
                    "\(wish.label) is older than \(higher.label), which was wanted already"
                )
            }
        }
        return .wanted(instead: wishes.filter(\.state.isWaiting).map(\.id))
    }

    private static func wasDroppedByAPerson(_ wish: Wish) -> Bool {
        if case .dropped(let reason) = wish.state { reason.hasPrefix("dropped by") } else { false }
    }

    /// The wish that may be prepared next; nil if none may, or one is under way.
    ///
    /// - Parameter passed: The names by which commits have passed CI.
    /// - Returns: The wish.
    public func next(passed: [String: Set<String>]) -> Wish? {
        guard !wishes.contains(where: { !$0.state.isOver && !$0.state.isWaiting }) else {
            return nil
        }
        return wishes.last { $0.state.isWaiting && Self.isPassed($0, passed) }
    }

    /// Whether CI has passed what a wish is about, if it has to.
    public static func isPassed(_ wish: Wish, _ passed: [String: Set<String>]) -> Bool {
        guard let gate = wish.gate else { return true }
        return passed[wish.commit]?.contains(where: gate.accepts) ?? false
    }

    /// The wish that follows from one whose rollout succeeded; nil if nothing does.
    ///
    /// - Parameters:
    ///   - wish: The wish that is done.
    ///   - unixMilliseconds: When, in milliseconds since 1970.
    /// - Returns: The wish.
    public static func following(_ wish: Wish, at unixMilliseconds: Int) -> Wish? {
        guard let next = wish.later.first else { return nil }
        return Wish(
            environment: next,
            later: Array(wish.later.dropFirst()),
            hook: wish.hook,
            ref: wish.ref,
            commit: wish.commit,
            person: wish.person,
            delivery: wish.delivery,
            unixMilliseconds: unixMilliseconds
        )
    }

    /// The wishes that a hook's rules make of a ref.
    ///
    /// - Parameters:
    ///   - hook: The hook.
    ///   - ref: The ref.
    ///   - commit: The commit that it points at now.
    ///   - person: Whoever caused it.
    ///   - delivery: The delivery that told of it; nil if it was found by looking.
    ///   - unixMilliseconds: When, in milliseconds since 1970.
    /// - Returns: The wishes, one for each rule that watches the ref.
    public static func wishes(
        of hook: Hook,
        ref: String,
        commit: String,
        person: HookFacts.Person,
        delivery: Int?,
        at unixMilliseconds: Int
    ) -> [Wish] {
        hook.rules.filter { $0.wants(ref) }.compactMap { rule in
            guard let first = rule.environments.first else { return nil }
            return Wish(
                environment: first,
                later: Array(rule.environments.dropFirst()),
                hook: hook.name,
                ref: ref,
                commit: commit,
                person: person,
                delivery: delivery,
                unixMilliseconds: unixMilliseconds,
                gate: rule.afterCI,
                state: rule.afterCI == nil ? .queued : .awaitingCI
            )
        }
    }
}
