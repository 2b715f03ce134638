package import FleetOperations
internal import FleetTransport

extension Face {
    /// Shows what hosts know of the journal.
    ///
    /// - Parameter result: Their answers.
    /// - Returns: Whether a record is changed or missing, and whether something is left open.
    package func show(_ result: Verification) -> (isMissed: Bool, isOpen: Bool) {
        var agreeing: [HostName] = []
        var isMissed = false
        var isOpen = false
        for (host, answer) in result.answers {
            switch answer {
            case .nothing: continue
            case .agrees: agreeing.append(host)
            case .missed(let rollout, let sequence):
                isMissed = true
                print(
                    "\(host)  was told of record \(sequence) of rollout \(rollout), which is changed or missing here"
                )
            case .foreign(let rollout):
                isOpen = true
                print(
                    "\(host)  was last changed by rollout \(rollout), which is not in this journal: another one has "
                        + "it, or it was taken away"
                )
            case .garbled:
                isOpen = true
                print(
                    "\(host)  was told of a record, and its note of that cannot be read any more"
                )
            case .unknown(let why):
                isOpen = true
                print("\(host)  \(why)")
            }
        }
        if !agreeing.isEmpty { print("\(HostRange.fold(agreeing))  agree with it") }
        return (isMissed, isOpen)
    }
}
