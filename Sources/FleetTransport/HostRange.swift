/// Host names in Ansible's and ClusterShell's range notation: `web[01:12].example.com`.
public enum HostRange {
    /// The most names one text may stand for.
    public static let expansionLimit = 100_000

    /// Why a range cannot be read.
    public struct Malformed: Error, Sendable, Hashable {
        /// What is wrong, for people.
        public let reason: String
    }

    /// Writes out every name a text stands for: `web[1:3]`, `web[01-03]`, `db[a:c]`, `x[1,4-6]`.
    ///
    /// - Throws: ``Malformed`` for an open bracket, an empty or backward range, or too many names.
    public static func expand(_ text: String) throws(Malformed) -> [String] {
        guard let open = text.firstIndex(of: "[") else {
            guard !text.contains("]") else { throw Malformed(reason: "`]` without `[`") }
            return [text]
        }
        guard let close = text[open...].firstIndex(of: "]") else {
            throw Malformed(reason: "`[` without `]`")
        }
        let head = text[..<open]
        let tails = try expand(String(text[text.index(after: close)...]))
        var names: [String] = []
        for part in text[text.index(after: open)..<close].split(
            separator: ",",
            omittingEmptySubsequences: false
        ) {
            for middle in try items(part) {
                for tail in tails { names.append(head + middle + tail) }
                guard names.count <= expansionLimit else {
                    throw Malformed(reason: "stands for more than \(expansionLimit) names")
                }
            }
        }
        return names
    }

    private static func items(_ part: Substring) throws(Malformed) -> [String] {
        let ends = part.split(omittingEmptySubsequences: false) { $0 == ":" || $0 == "-" }
        guard let first = ends.first, ends.count <= 2 else {
            throw Malformed(reason: "`[\(part)]` is not a range")
        }
        let last = ends.count == 2 ? ends[1] : first
        if let low = Int(first), let high = Int(last) {
            guard low <= high else { throw Malformed(reason: "`[\(part)]` runs backwards") }
            guard high - low < expansionLimit else {
                throw Malformed(reason: "stands for more than \(expansionLimit) names")
            }
            // Leading zeros ask for a fixed width, as in ClusterShell.
            let width = first.hasPrefix("0") ? first.count : 1
            return (low...high).map { padded($0, to: width) }
        }
        guard first.utf8.count == 1, last.utf8.count == 1, let low = first.utf8.first,
            let high = last.utf8.first, low <= high, first.first?.isLetter == true,
            last.first?.isLetter == true
        else { throw Malformed(reason: "`[\(part)]` is not a range") }
        return (low...high).map { String(decoding: [$0], as: UTF8.self) }
    }

    /// Folds names into few range texts: `web01 web02 db1` becomes `db1, web[01-02]`.
    public static func fold(_ names: some Sequence<HostName>) -> String {
        folded(names).joined(separator: ", ")
    }

    /// Folds names into few range texts, in order.
    public static func folded(_ names: some Sequence<HostName>) -> [String] {
        var families: [Family: [Int]] = [:]
        var order: [Family] = []
        var plain: [String] = []
        for name in Set(names).sorted() {
            guard let (family, number) = Family.split(name.text) else {
                plain.append(name.text)
                continue
            }
            if families[family] == nil { order.append(family) }
            families[family, default: []].append(number)
        }
        let ranged = order.map { family in family.text(for: families[family] ?? []) }
        return (plain + ranged).sorted { precedes($0, $1) }
    }

    /// Whether `first` comes before `second` when digit runs are compared as numbers.
    static func precedes(_ first: String, _ second: String) -> Bool {
        var a = Array(first.utf8)[...]
        var b = Array(second.utf8)[...]
        while let x = a.first, let y = b.first {
            guard isDigit(x), isDigit(y) else {
                if x != y { return x < y }
                a.removeFirst()
                b.removeFirst()
                continue
            }
            let m = a.prefix(while: isDigit)
            let n = b.prefix(while: isDigit)
            let (p, q) = (m.drop { $0 == 0x30 }, n.drop { $0 == 0x30 })
            if p.count != q.count { return p.count < q.count }
            if !p.elementsEqual(q) { return p.lexicographicallyPrecedes(q) }
            a = a.dropFirst(m.count)
            b = b.dropFirst(n.count)
        }
        return a.isEmpty && b.isEmpty ? first < second : a.isEmpty
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }

    fileprivate static func padded(_ number: Int, to width: Int) -> String {
        let digits = String(number)
        return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
}

/// Names that differ in one number only: the last one in the first label, or the last one of an
/// IPv4 address.
private struct Family: Hashable {
    let head: String
    let tail: String
    /// Digits of a zero-padded number; 1 if the number is not padded.
    let width: Int

    static func split(_ name: String) -> (Family, Int)? {
        if let address = splitAddress(name) { return address }
        let label = name.prefix { $0 != "." }
        guard let last = label.lastIndex(where: { $0.isASCII && $0.isNumber }) else { return nil }
        var first = last
        while first > label.startIndex {
            let before = label.index(before: first)
            guard label[before].isASCII, label[before].isNumber else { break }
            first = before
        }
        let digits = label[first...last]
        guard digits.count < 10, let number = Int(digits) else { return nil }
        // A name that begins with its number shares nothing that reads well folded.
        guard first > name.startIndex else { return nil }
        let family = Family(
            head: String(name[..<first]),
            tail: String(name[label.index(after: last)...]),
            width: digits.hasPrefix("0") ? digits.count : 1
        )
        return (family, number)
    }

    private static func splitAddress(_ name: String) -> (Family, Int)? {
        let octets = name.split(separator: ".", omittingEmptySubsequences: false)
        guard octets.count == 4, octets.allSatisfy({ UInt8($0).map(String.init) == String($0) }),
            let last = Int(octets[3])
        else { return nil }
        let head = octets[..<3].joined(separator: ".") + "."
        return (Family(head: head, tail: "", width: 1), last)
    }

    func text(for numbers: [Int]) -> String {
        var runs: [(Int, Int)] = []
        for number in numbers.sorted() {
            if let run = runs.last, run.1 + 1 == number {
                runs[runs.count - 1].1 = number
            } else {
                runs.append((number, number))
            }
        }
        let parts = runs.map { low, high in
            let first = HostRange.padded(low, to: width)
            return low == high ? first : "\(first)-\(HostRange.padded(high, to: width))"
        }
        let single = runs.count == 1 && runs[0].0 == runs[0].1
        return single ? head + parts[0] + tail : "\(head)[\(parts.joined(separator: ","))]\(tail)"
    }
}
