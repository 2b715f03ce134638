public import FleetRollout
internal import Glibc

extension RolloutID {
    /// A new rollout's name: the time, so that names sort, and four random characters.
    public static func new() -> RolloutID {
        var now = time(nil)
        var parts = tm()
        gmtime_r(&now, &parts)
        var text = [CChar](repeating: 0, count: 32)
        strftime(&text, text.count, "%Y%m%d-%H%M%S", &parts)
        let end = text.firstIndex(of: 0) ?? text.endIndex
        let stamp = String(decoding: text[..<end].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let letters = Array("abcdefghjkmnpqrstuvwxyz23456789")
        let suffix = String((0..<4).map { _ in letters.randomElement() ?? "x" })
        guard let id = RolloutID("\(stamp)-\(suffix)") else {
            preconditionFailure("a time and four letters make a valid name")
        }
        return id
    }
}
