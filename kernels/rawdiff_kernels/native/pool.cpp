// One pool of threads for all ops, and what this CPU can do.
//
// Strips are handed out by a counter; the caller works too. A call from inside a strip, or while another
// thread holds the pool, runs on the caller alone: slower, never wrong. After fork() the child starts anew.
#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#include "strips.h"

namespace {

thread_local bool inside = false;

class Pool {
   public:
    void run(int64_t count, int64_t threads, rawdiff::Body body, void *context) {
        std::unique_lock<std::mutex> turn(turn_, std::defer_lock);
        if (threads <= 1 || count <= 1 || inside || !turn.try_lock()) {
            for (int64_t i = 0; i < count; ++i) body(context, i);
            return;
        }
        const int64_t wanted = (threads < count ? threads : count) - 1;
        while (workers_ < wanted && start_worker()) {}
        {
            std::lock_guard<std::mutex> lock(state_);
            body_ = body;
            context_ = context;
            count_ = count;
            next_.store(0, std::memory_order_relaxed);
            seats_ = wanted;
        }
        wake_.notify_all();
        work();
        std::unique_lock<std::mutex> lock(state_);
        seats_ = 0;  // whoever has not woken by now need not come
        done_.wait(lock, [this] { return seated_ == 0; });
    }

   private:
    bool start_worker() {
        try {
            std::thread([this] { serve(); }).detach();
        } catch (const std::system_error &) {
            return false;  // no more threads to be had: the caller does the rest
        }
        ++workers_;
        return true;
    }

    void serve() {
        std::unique_lock<std::mutex> lock(state_);
        for (;;) {
            wake_.wait(lock, [this] { return seats_ > 0; });
            --seats_;
            ++seated_;
            lock.unlock();
            work();
            lock.lock();
            if (--seated_ == 0) done_.notify_one();
        }
    }

    void work() {
        inside = true;
        for (;;) {
            const int64_t i = next_.fetch_add(1, std::memory_order_relaxed);
            if (i >= count_) break;
            body_(context_, i);
        }
        inside = false;
    }

    std::mutex turn_, state_;
    std::condition_variable wake_, done_;
    std::atomic<int64_t> next_{0};
    rawdiff::Body body_ = nullptr;
    void *context_ = nullptr;
    int64_t count_ = 0, seats_ = 0, seated_ = 0, workers_ = 0;
};

Pool *pool = nullptr;
pthread_once_t once = PTHREAD_ONCE_INIT;

void renew() {
    pool = new Pool;  // never destroyed: detached workers may wait in it until the process ends
    inside = false;
}

void start() {
    renew();
    pthread_atfork(nullptr, nullptr, renew);
}

}  // namespace

RAWDIFF_EXPORT void rawdiff_parallel_for(int64_t count, int64_t threads, rawdiff::Body body, void *context) {
    pthread_once(&once, start);
    pool->run(count, threads, body, context);
}

// 0 baseline, 1 AVX2 and FMA, 2 AVX-512 (F, BW, DQ, VL).
RAWDIFF_EXPORT int64_t rawdiff_cpu_level() {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 0;
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return wide ? 2 : 1;
#else
    return 0;
#endif
}
