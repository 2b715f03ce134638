internal import Glibc

extension EffectiveSettings.Row {
    /// Whether what `ssh -G` prints means the same.
    ///
    /// Where nobody has said anything, only the waits are compared: fleet's are shorter on purpose.
    public func isSame(asPrinted values: [String]) -> Bool {
        let waits = ["connecttimeout", "serveraliveinterval"]
        if source == "default", !waits.contains(name) { return true }
        // A list that is changed, and not given, is printed as what it comes to.
        if let sign = value.first, "+-^".contains(sign) { return true }
        let theirs = values.joined(separator: " ")
        return Self.usual(value) == Self.usual(theirs)
    }

    /// Why fleet does otherwise; empty where there is nothing to say.
    public var note: String {
        let note = ConfigurationKeyword.named(name)?.note ?? ""
        if !note.isEmpty || name != "connecttimeout" { return note }
        return "without one, a host that does not answer would be waited for for minutes"
    }

    /// A value in one of the ways in which it can be written.
    private static func usual(_ text: String) -> String {
        var text = text.lowercased()
        if text.hasSuffix(" s") { text.removeLast(2) }
        let home =
            getpwuid(getuid()).flatMap { $0.pointee.pw_dir }.map { String(cString: $0) } ?? "~"
        let words = text.split(separator: " ").map { word in
            word.hasPrefix("~/") ? home.lowercased() + word.dropFirst() : String(word)
        }
        let other = ["true": "yes", "false": "no", "": "none", "off": "no"]
        let joined = words.joined(separator: " ")
        return other[joined] ?? joined
    }
}

extension EffectiveSettings {
    /// Whether a setting of `ssh -G` changes how a host is reached; lists of algorithms are too long to be read.
    public static func isWorthShowing(_ name: String) -> Bool {
        guard let keyword = ConfigurationKeyword.named(name), keyword.fate != .harmless else {
            return false
        }
        return ![.ciphers, .macs].contains(keyword.value) && !name.hasSuffix("algorithms")
    }
}
