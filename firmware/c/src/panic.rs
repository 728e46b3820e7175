//! What a panic ends in where there is no standard library.

#[cfg(all(feature = "panic-handler", feature = "std"))]
compile_error!("panic-handler is for builds without std: use --no-default-features --features panic-handler");

#[cfg(all(feature = "panic-handler", not(feature = "std"), not(test)))]
mod handler {
    #![expect(unsafe_code, reason = "abort() is C's")]

    unsafe extern "C" {
        safe fn abort() -> !;
    }

    /// The device restarts, with what abort() says on its console: the program has no state worth saving.
    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        abort()
    }
}
