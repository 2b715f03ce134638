public import FleetTransport

extension PlannedHost {
    /// Returns this part of a plan, read back from the host, without anything that would let the host control fleet.
    ///
    /// The inventory decides how the host is reached, and no local file is opened.
    ///
    /// - Parameter endpoint: The host, as the inventory names it.
    /// - Returns: What the host will do. A step that uploads fails; its way back works.
    public func remembered(by endpoint: HostEndpoint) -> PlannedHost {
        PlannedHost(
            endpoint: endpoint,
            release: release,
            preflight: preflight,
            steps: steps.map { $0.withoutLocalFile() },
            checks: checks,
            revertSteps: revertSteps.map { $0.withoutLocalFile() },
            revertChecks: revertChecks
        )
    }
}

extension PlannedStep {
    fileprivate func withoutLocalFile() -> PlannedStep {
        guard case .upload(let upload) = action else { return self }
        return PlannedStep(
            name: name,
            kind: kind,
            action: .upload(
                Upload(
                    source: "",
                    sizeBytes: upload.sizeBytes,
                    sha256: upload.sha256,
                    handOver: upload.handOver,
                    prepare: upload.prepare,
                    finish: upload.finish
                )
            ),
            timeoutMilliseconds: timeoutMilliseconds,
            retries: retries,
            isIdempotent: isIdempotent,
            isIrreversible: isIrreversible,
            runsOnce: runsOnce,
            factsOf: factsOf,
            condition: condition
        )
    }
}
