/// A semantic version (semver.org 2.0.0), with or without a leading `v`.
public struct SemanticVersion: Sendable, Hashable, Comparable {
    private let core: [Int]
    private let prerelease: [String]

    /// Reads a version; nil if the text is not one.
    ///
    /// Build metadata is accepted and ignored.
    public init?(_ text: String) {
        var rest = text.hasPrefix("v") ? text.dropFirst() : text[...]
        if let plus = rest.firstIndex(of: "+") { rest = rest[..<plus] }
        var labels: [String] = []
        if let dash = rest.firstIndex(of: "-") {
            labels = rest[rest.index(after: dash)...]
                .split(separator: ".", omittingEmptySubsequences: false).map(String.init)
            rest = rest[..<dash]
            guard labels.allSatisfy(Self.isIdentifier) else { return nil }
        }
        let numbers = rest.split(separator: ".", omittingEmptySubsequences: false)
        guard numbers.count == 3 else { return nil }
        var core: [Int] = []
        for number in numbers {
            guard let value = Self.number(number) else { return nil }
            core.append(value)
        }
        self.core = core
        prerelease = labels
    }

    /// Whether the version is a pre-release, which is never the newest one.
    public var isPrerelease: Bool { !prerelease.isEmpty }

    /// Orders versions by precedence (semver.org, rule 11).
    public static func < (first: SemanticVersion, second: SemanticVersion) -> Bool {
        for (a, b) in zip(first.core, second.core) where a != b { return a < b }
        if first.prerelease.isEmpty || second.prerelease.isEmpty {
            return !first.prerelease.isEmpty && second.prerelease.isEmpty
        }
        for (a, b) in zip(first.prerelease, second.prerelease) where a != b {
            switch (number(a[...]), number(b[...])) {
            case (let m?, let n?): return m < n
            case (_?, nil): return true
            case (nil, _?): return false
            case (nil, nil): return a < b
            }
        }
        return first.prerelease.count < second.prerelease.count
    }

    /// The version, with a leading `v`.
    public var tag: String {
        let text = "v" + core.map(String.init).joined(separator: ".")
        return prerelease.isEmpty ? text : text + "-" + prerelease.joined(separator: ".")
    }

    /// Which part of a version goes up.
    public enum Part: String, Sendable, Hashable, CaseIterable {
        /// Something that others rely on has changed.
        case major
        /// Something was added.
        case minor
        /// Something was mended.
        case patch
    }

    private init(core: [Int], prerelease: [String]) {
        self.core = core
        self.prerelease = prerelease
    }

    /// The next version after this one.
    ///
    /// A pre-release of a version that is as high already only loses its label: `2.0.0-rc.3` and
    /// `major` make `2.0.0`.
    ///
    /// - Parameters:
    ///   - part: Which part goes up.
    ///   - label: The label of a pre-release, as in `rc`; its number follows by itself.
    /// - Returns: The version.
    public func next(_ part: Part, prerelease label: String? = nil) -> SemanticVersion {
        let index = Part.allCases.firstIndex(of: part) ?? 2
        var next = core
        let isAhead = isPrerelease && core[(index + 1)...].allSatisfy { $0 == 0 }
        if !isAhead {
            next[index] += 1
            for lower in index + 1..<3 { next[lower] = 0 }
        }
        guard let label else { return SemanticVersion(core: next, prerelease: []) }
        var number = 1
        if isAhead, prerelease.count == 2, prerelease[0] == label {
            number = (Int(prerelease[1]) ?? 0) + 1
        }
        return SemanticVersion(core: next, prerelease: [label, String(number)])
    }

    /// The first version there is.
    public static let first = SemanticVersion(core: [0, 0, 0], prerelease: [])

    private static func number(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            text.count == 1 || !text.hasPrefix("0")
        else { return nil }
        return Int(text)
    }

    private static func isIdentifier(_ text: String) -> Bool {
        let isPlain = text.utf8.allSatisfy { byte in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte)
                || (0x61...0x7A).contains(byte) || byte == 0x2D
        }
        let isPadded =
            text.count > 1 && text.hasPrefix("0")
            && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
        return isPlain && !text.isEmpty && !isPadded
    }
}
