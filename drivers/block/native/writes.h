#pragma once
#include <node_api.h>

// writeMany(fd, positions, counts, parts) -> Promise of null, or of an errno per write
napi_value WriteMany(napi_env env, napi_callback_info info);
