public import FleetPlan

/// A file of a work tree that differs from its commit.
public struct ChangedFile: Sendable, Hashable {
    /// What differs: `content`, `mode`, `type` or `missing`.
    public let what: String
    /// When the file was last changed, in seconds since 1970 on the host's clock; 0 if unknown.
    public let changedSeconds: Int
    /// The file's path in the work tree.
    public let name: String

    /// Reads `changed WHAT SECONDS NAME`; nil for every other line.
    public init?(line: some StringProtocol) {
        let words = line.split(separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
        guard words.count == 4, words[0] == "changed", let seconds = Int(words[2]) else {
            return nil
        }
        what = String(words[1])
        changedSeconds = seconds
        name = String(words[3])
    }

    /// Judges the files that differ: they pass if later steps of the same rollout changed them, else they fail.
    ///
    /// The host's own clock and records decide: a change is attributed to a step if its time lies between the seconds
    /// in which the step began and ended.
    ///
    /// - Parameters:
    ///   - files: The files that differ.
    ///   - times: When each attempt at a step ran on the host.
    ///   - steps: The steps of the direction, in order.
    ///   - first: The step that wrote the work tree; only later steps may change it.
    ///   - direction: The direction of the steps: forward or back.
    /// - Returns: A pass that names the steps and the files they changed, or a failure.
    public static func verdict(
        on files: [ChangedFile],
        times: [StepTime],
        steps: [PlannedStep],
        after first: String,
        _ direction: StepReference.Direction
    ) -> Verdict {
        let start = steps.firstIndex { $0.name == first } ?? -1
        let later = times.filter {
            $0.direction == direction && $0.index > start && $0.index < steps.count
        }
        var written: [Int: [String]] = [:]
        var foreign: [ChangedFile] = []
        for file in files {
            // What is gone cannot say when it went.
            let writer = later.filter { time in
                file.changedSeconds >= time.beganSeconds
                    && file.changedSeconds <= time.endedSeconds ?? .max
            }.map(\.index).max()
            if let writer {
                written[writer, default: []].append(file.name)
            } else {
                foreign.append(file)
            }
        }
        guard foreign.isEmpty else {
            let names = foreign.prefix(20).map { "\($0.name) (\($0.what))" }
            let more = foreign.count > 20 ? "\nand \(foreign.count - 20) more" : ""
            return .fail(
                Failure(
                    "E_TREE \(foreign.count == 1 ? "a file is" : "\(foreign.count) files are") not what the "
                        + "release holds, and no later step of this rollout wrote it: \(names[0])",
                    excerpt: names.joined(separator: "\n") + more,
                    hint:
                        "look who writes there; a file that the service itself changes does not belong "
                        + "into the repository (`git rm --cached`)"
                )
            )
        }
        return .passWith(
            written.sorted { $0.key < $1.key }.map {
                .written(step: steps[$0.key].name, files: $0.value)
            }
        )
    }
}

/// When one attempt at a step ran on a host, by the host's own clock.
public struct StepTime: Sendable, Hashable {
    /// The list that contains the step: forward or back.
    public let direction: StepReference.Direction
    /// The step's place in that list, from 0.
    public let index: Int
    /// When it began, in seconds since 1970.
    public let beganSeconds: Int
    /// When the attempt ended, in seconds since 1970; nil if it has no result.
    public let endedSeconds: Int?

    /// Reads `back BEGAN ENDED NAME`, where NAME is one of the given step names; nil for any other line.
    public init?(line: some StringProtocol, of names: [String]) {
        let words = line.split(separator: " ", maxSplits: 3)
        guard words.count == 4, words[0] == "back", let began = Int(words[1]),
            let ended = Int(words[2]),
            let index = names.lastIndex(of: String(words[3]))
        else { return nil }
        direction = .revert
        self.index = index
        beganSeconds = began
        endedSeconds = ended
    }

    /// Reads `ran KEY BEGAN ENDED`; nil for every other line.
    public init?(line: some StringProtocol) {
        let words = line.split(separator: " ")
        guard words.count >= 3, words[0] == "ran", let began = Int(words[2]),
            let place = words[1].split(separator: "-").first,
            let index = Int(place.dropFirst())
        else { return nil }
        switch place.first {
        case "f": direction = .forward
        case "r": direction = .revert
        default: return nil
        }
        self.index = index
        beganSeconds = began
        endedSeconds = words.count > 3 ? Int(words[3]) : nil
    }
}
