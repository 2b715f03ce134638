internal import FleetInventory

/// How text is marked for a terminal; without colour it is left as it is.
public struct Style: Sendable, Hashable {
    /// Whether escape sequences are written.
    public let isColored: Bool

    /// Creates a style with or without colour.
    public init(isColored: Bool) { self.isColored = isColored }

    /// Plain text.
    public static let plain = Style(isColored: false)

    /// Text that matters.
    public func bold(_ text: String) -> String { mark(text, "1") }
    /// Text that may be overlooked.
    public func dim(_ text: String) -> String { mark(text, "2") }
    /// Something went wrong.
    public func red(_ text: String) -> String { mark(text, "31") }
    /// Something went well.
    public func green(_ text: String) -> String { mark(text, "32") }
    /// Something wants attention.
    public func yellow(_ text: String) -> String { mark(text, "33") }
    /// Something is under way.
    public func cyan(_ text: String) -> String { mark(text, "36") }

    private func mark(_ text: String, _ code: String) -> String {
        isColored && !text.isEmpty ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
    }

    /// A text short enough for a cell of a table.
    public static func short(_ text: String) -> String { cut(text, to: 40) }

    /// How many cells of a terminal a text takes, escape sequences not counted.
    ///
    /// - Parameter text: One line.
    /// - Returns: The number of cells.
    public static func width(_ text: String) -> Int {
        var width = 0
        var isEscape = false
        for scalar in text.unicodeScalars {
            if isEscape {
                isEscape = scalar != "m"
            } else if scalar == "\u{1B}" {
                isEscape = true
            } else {
                width += cells(scalar)
            }
        }
        return width
    }

    /// How many cells of a terminal a character takes: none if it only changes the one before, two if it is wide.
    ///
    /// Wide are the blocks of Unicode's EastAsianWidth.txt (UAX #11) that are wide as a whole, and what is shown as an
    /// emoji by itself.
    private static func cells(_ scalar: Unicode.Scalar) -> Int {
        guard scalar.value >= 0x300 else { return 1 }
        if scalar.properties.isGraphemeExtend || scalar.value == 0x200D { return 0 }
        switch scalar.value {
        case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0xA4CF, 0xA960...0xA97F, 0xAC00...0xD7A3,
            0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x16FE0...0x18CFF,
            0x1B000...0x1B2FF, 0x20000...0x3FFFD:
            return 2
        default: return scalar.properties.isEmojiPresentation ? 2 : 1
        }
    }

    /// The text with spaces behind it, up to a width.
    static func padded(_ text: String, to width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - Self.width(text)))
    }

    /// The text cut at a width; escape sequences are kept and closed.
    static func cut(_ text: String, to width: Int) -> String {
        guard Self.width(text) > width, width > 0 else { return text }
        var result = ""
        var used = 0
        var isEscape = false
        var isMarked = false
        for scalar in text.unicodeScalars {
            if isEscape || scalar == "\u{1B}" {
                isMarked = true
                isEscape = scalar != "m"
                result.unicodeScalars.append(scalar)
                continue
            }
            guard used + cells(scalar) <= width - 1 else { break }
            used += cells(scalar)
            result.unicodeScalars.append(scalar)
        }
        return result + "…" + (isMarked ? "\u{1B}[0m" : "")
    }
}

/// Makes text printed by hosts safe to show, so that it cannot control the terminal.
public enum Sanitizer {
    /// The text with control characters made visible, except line breaks and tabs.
    ///
    /// Escape sequences, cursor moves, title changes and bidirectional overrides in the output of a
    /// compromised host could otherwise rewrite what the operator sees.
    public static func safe(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isUnsafe) else { return text }
        var result = String.UnicodeScalarView()
        for scalar in text.unicodeScalars {
            if !isUnsafe(scalar) {
                result.append(scalar)
            } else if scalar.value < 0x20, let picture = Unicode.Scalar(0x2400 + scalar.value) {
                result.append(picture)
            } else {
                result.append("\u{FFFD}")
            }
        }
        return String(result)
    }

    /// Whether bytes are printable ASCII, line breaks and tabs only, as most output is: such text needs no
    /// look at its characters.
    ///
    /// Eight bytes at a time, because output may be long.
    ///
    /// - Parameter bytes: What a host printed.
    /// - Returns: Whether it may go to a terminal as it is.
    public static func isPlain(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let end = bytes.count & ~7
        var start = 0
        while start < end {
            let next = min(end, start + 4096)
            var found: UInt64 = 0
            // No way out in between: that lets the compiler look at several words at once.
            for offset in stride(from: start, to: next, by: 8) {
                found |= unsafeBytes(
                    of: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                )
            }
            guard found == 0 else { return false }
            start = next
        }
        return bytes[end...].allSatisfy {
            $0 >= 0x20 && $0 < 0x7F || $0 == 0x0A || $0 == 0x09
        }
    }

    /// The high bit of each of eight bytes that a terminal could obey.
    ///
    /// Without carries between bytes ("Bit Twiddling Hacks"): adding 0x60 to seven bits sets the
    /// eighth from 0x20 on, adding 0x01 at 0x7F, and adding 0x7F for all but zero.
    private static func unsafeBytes(of word: UInt64) -> UInt64 {
        let each: UInt64 = 0x0101_0101_0101_0101
        let seven = word & (each &* 0x7F)
        let isText = seven &+ each &* 0x60
        let isDelete = seven &+ each
        let isNoBreak = (seven ^ each &* 0x0A) &+ each &* 0x7F
        let isNoTab = (seven ^ each &* 0x09) &+ each &* 0x7F
        return (word | isDelete | ~isText & isNoBreak & isNoTab) & (each &* 0x80)
    }

    /// Makes the text safe as ``safe(_:)`` does, and replaces line breaks by spaces.
    public static func line(_ text: String) -> String {
        safe(String(text.map { $0.isNewline || $0 == "\t" ? " " : $0 }))
    }

    private static func isUnsafe(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x0A, 0x09: false
        case 0..<0x20, 0x7F..<0xA0: true
        case 0xAD, 0x61C, 0x200B, 0x200E, 0x200F, 0x202A...0x202E, 0x2066...0x2069: true
        default: false
        }
    }
}

/// Durations as people read them.
public enum DurationText {
    /// `0.3s`, `12.4s`, `2m05s`, `1h02m`.
    public static func short(milliseconds: Int) -> String {
        let seconds = milliseconds / 1000
        if seconds < 60 { return "\(seconds).\(milliseconds % 1000 / 100)s" }
        if seconds < 3600 { return "\(seconds / 60)m\(two(seconds % 60))s" }
        return "\(seconds / 3600)h\(two(seconds / 60 % 60))m"
    }

    /// As ``short(milliseconds:)``, and `31ms` for what took less than a tenth of a second.
    static func fine(_ milliseconds: Int) -> String {
        (1..<100).contains(milliseconds) ? "\(milliseconds)ms" : short(milliseconds: milliseconds)
    }

    /// As ``short(milliseconds:)``, and `3d04h` for what took days.
    ///
    /// - Parameter milliseconds: The time.
    /// - Returns: The text.
    public static func long(_ milliseconds: Int) -> String {
        let hours = milliseconds / 3_600_000
        return hours < 24
            ? short(milliseconds: milliseconds) : "\(hours / 24)d\(two(hours % 24))h"
    }

    /// A time of day in UTC, `2026-11-22 19:05:12`, from milliseconds since 1970.
    public static func utc(unixMilliseconds: Int) -> String {
        let seconds = unixMilliseconds / 1000
        let date = CivilDate(daysSince1970: seconds / 86_400)
        let time = seconds % 86_400
        return "\(date.year)-\(two(date.month))-\(two(date.day)) "
            + "\(two(time / 3600)):\(two(time / 60 % 60)):\(two(time % 60))"
    }

    private static func two(_ number: Int) -> String { number < 10 ? "0\(number)" : String(number) }
}

/// Lines in columns.
public enum Table {
    /// Aligns rows under a header.
    public static func lines(
        header: [String],
        rows: [[String]],
        style: Style,
        indent: String = "  "
    ) -> [String] {
        let columns = header.count
        let widths = (0..<columns).map { column in
            ([header] + rows).map { Style.width($0[column]) }.max() ?? 0
        }
        func line(_ cells: [String]) -> String {
            var text = indent
            for (column, cell) in cells.enumerated() {
                text += column + 1 < columns ? Style.padded(cell, to: widths[column] + 2) : cell
            }
            while text.last == " " { text.removeLast() }
            return text
        }
        return [style.dim(line(header))] + rows.map(line)
    }
}
