package import FleetOperations
internal import FleetRollout
internal import Glibc

/// Programs that belong beside this one.
package enum SiblingProgram {
    /// The path of a program beside this one; nil if this one cannot find itself.
    package static func path(_ name: String) -> String? {
        var own = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &own, own.count - 1)
        guard length > 0 else { return nil }
        let path = String(decoding: own[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return path.prefix(through: path.lastIndex(of: "/") ?? path.startIndex) + name
    }

    /// Becomes another program: the process stays the same, so that signals and a service manager find it.
    ///
    /// - Parameters:
    ///   - name: The program.
    ///   - arguments: What it is given.
    /// - Throws: `OperationFailure` if it is not there; otherwise this does not return.
    package static func become(_ name: String, _ arguments: [String]) throws(OperationFailure) {
        guard let program = path(name) else {
            throw OperationFailure(
                .missingDependency,
                "this program cannot find itself, and \(name) is beside it"
            )
        }
        var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) }
        words.append(nil)
        execv(program, words)
        let reason = Surroundings.lastError
        for word in words { free(word) }
        throw OperationFailure(
            .missingDependency,
            "\(program) cannot be run: \(reason)",
            hints: ["it belongs beside fleet; install it from the same release"]
        )
    }
}
