/* The one file in C++: RocksDB 7 offers a logger to who derives one, and not in its C API. */
#include "store/rocks_logger.h"

#include <memory>

#include <rocksdb/env.h>

/* As RocksDB's db/c.cc has it, which is what reads it. */
struct rocksdb_logger_t {
    std::shared_ptr<rocksdb::Logger> rep;
};

namespace
{

class silent_logger : public rocksdb::Logger
{
  public:
    silent_logger() : Logger(rocksdb::InfoLogLevel::FATAL_LEVEL)
    {
    }
    void LogHeader(const char *, va_list) override
    {
    }
    void Logv(const char *, va_list) override
    {
    }
    void Logv(rocksdb::InfoLogLevel, const char *, va_list) override
    {
    }
};

} // namespace

rocksdb_logger_t *rocks_logger_create(void)
{
    return new rocksdb_logger_t{std::make_shared<silent_logger>()};
}

void rocks_logger_destroy(rocksdb_logger_t *logger)
{
    delete logger;
}
