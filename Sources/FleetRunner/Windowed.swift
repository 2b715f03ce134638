extension Array where Element: Sendable {
    /// Processes every element concurrently, a limited number at a time.
    ///
    /// - Parameters:
    ///   - width: The largest number of elements that are processed at once; at least 1.
    ///   - executor: The executor on which an element is preferably processed; nil for any.
    ///   - work: The function that processes one element.
    /// - Returns: The results, in the order of the elements.
    public func windowed<Result: Sendable>(
        _ width: Int,
        on executor: (Element) -> (any TaskExecutor)? = { _ in nil },
        _ work: @escaping @Sendable (Element) async -> Result
    ) async -> [Result] {
        await withTaskGroup(of: (Int, Result).self) { group in
            var results = [Result?](repeating: nil, count: count)
            var rest = enumerated().makeIterator()
            func start(_ group: inout TaskGroup<(Int, Result)>) {
                guard let (index, element) = rest.next() else { return }
                group.addTask(executorPreference: executor(element)) {
                    (index, await work(element))
                }
            }
            for _ in 0..<Swift.min(Swift.max(1, width), count) { start(&group) }
            while let (index, result) = await group.next() {
                results[index] = result
                start(&group)
            }
            return results.compactMap { $0 }
        }
    }
}
