/// Wildcards as Ansible's host patterns and OpenSSH's files use them.
public enum Glob {
    /// Whether a text matches a pattern of literals, `*` and `?`.
    ///
    /// Byte by byte, as ssh_config(5), PATTERNS, has it.
    public static func matches(_ pattern: String, _ text: String) -> Bool {
        let p = Array(pattern.utf8)
        let t = Array(text.utf8)
        var i = 0
        var j = 0
        var star: (i: Int, j: Int)?
        while j < t.count {
            if i < p.count, p[i] == UInt8(ascii: "*") {
                star = (i, j)
                i += 1
            } else if i < p.count, p[i] == UInt8(ascii: "?") || p[i] == t[j] {
                i += 1
                j += 1
            } else if let last = star {
                star = (last.i, last.j + 1)
                i = last.i + 1
                j = last.j + 1
            } else {
                return false
            }
        }
        return p[i...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
