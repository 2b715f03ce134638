public import FleetRollout
internal import Glibc

extension RolloutID {
    /// Makes the name of a new rollout: the current time, so that names sort, and four random characters.
    public static func new() -> RolloutID {
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        var text = [CChar](repeating: 0, count: 32)
        strftime(&text, text.count, "%Y%m%d-%H%M%S", &parts)
        let end = text.firstIndex(of: 0) ?? text.endIndex
        let stamp = String(decoding: text[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let id = RolloutID("\(stamp)-\(mark())") else {
            preconditionFailure("a time and four letters make a valid name")
        }
        return id
    }

    /// Four random letters and digits, none of which is taken for another one.
    static func mark() -> String {
        let letters = Array("abcdefghjkmnpqrstuvwxyz23456789")
        return String((0..<4).map { _ in letters.randomElement() ?? "x" })
    }
}
