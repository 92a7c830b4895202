%% Erlang's distribution beside the Rust libraries: two nodes on loopback, the questions of remote/drive.rs.
%%
%% Bare processes and messages, no gen_server: the kindest loop for Erlang. An ask carries a fresh reference and has
%% neither a deadline nor a monitor. `far` serves until its standard input ends; `near` measures one repetition,
%% prints one line of JSON, and halts.
-module(remote).
-export([far/0, near/1]).

-define(WARM_UP_ASKS, 200).
-define(OPEN_ASKS, 1000).
-define(KEPT_MAX, 10000).
-define(TELL_BYTES, 64).
%% A lost message would be waited for for ever.
-define(PATIENCE_MS, 60000).

far() ->
    register(counter, spawn(fun() -> counter(0) end)),
    io:format("[\"~s\"]~n", [node()]),
    io:get_line(""),
    halt(0).

near([Question, Digits, Node]) ->
    Far = {counter, list_to_atom(Node)},
    {_, Monitor} = spawn_monitor(fun() ->
        exit({sample, measure(list_to_atom(Question), Far, list_to_integer(Digits))})
    end),
    receive
        {'DOWN', Monitor, process, _, {sample, {Elapsed, Count, Durations}}} ->
            Laps = lists:join(",", [integer_to_list(Duration) || Duration <- Durations]),
            io:format("{\"elapsed_ns\":~b,\"count\":~b,\"batches_ns\":[~s],\"resident_bytes\":null}~n",
                      [Elapsed, Count, Laps]),
            halt(0);
        {'DOWN', Monitor, process, _, Reason} ->
            io:format(standard_error, "remote.erl: ~s: ~p~n", [Question, Reason]),
            halt(1)
    end.

now_ns() -> erlang:monotonic_time(nanosecond).

counter(Told) ->
    receive
        {note, Bytes} when byte_size(Bytes) =:= ?TELL_BYTES -> counter(Told + 1);
        {ask, From, Ref, Value} -> From ! {Ref, Value + Told}, counter(Told)
    end.

ask(Far, Value, Expected) ->
    Ref = make_ref(),
    Far ! {ask, self(), Ref, Value},
    receive
        {Ref, Expected} -> ok;
        {Ref, Got} -> exit({answered, Got, expected, Expected})
    after ?PATIENCE_MS ->
        exit(no_answer)
    end.

warm_up(Far) -> [ask(Far, Value, Value) || Value <- lists:seq(1, ?WARM_UP_ASKS)].

%% Asks one after the other; keeps every so manyth duration.
asks(_, 0, _, _, Kept) -> Kept;
asks(Far, Left, Every, Since, Kept) ->
    ask(Far, Left, Left),
    Now = now_ns(),
    case Left rem Every of
        0 -> asks(Far, Left - 1, Every, Now, [Now - Since | Kept]);
        _ -> asks(Far, Left - 1, Every, Now, Kept)
    end.

every(Count) -> max(1, (Count + ?KEPT_MAX - 1) div ?KEPT_MAX).

measure('remote-ask', Far, Count) ->
    warm_up(Far),
    Start = now_ns(),
    Kept = asks(Far, Count, every(Count), Start, []),
    {now_ns() - Start, Count, Kept};
measure('remote-ask-1000', Far, Count) ->
    warm_up(Far),
    Share = max(1, Count div ?OPEN_ASKS),
    Driver = self(),
    Start = now_ns(),
    [spawn_link(fun() -> Driver ! {kept, asks(Far, Share, every(Count), now_ns(), [])} end)
     || _ <- lists:seq(1, ?OPEN_ASKS)],
    Kept = [receive {kept, Some} -> Some end || _ <- lists:seq(1, ?OPEN_ASKS)],
    {now_ns() - Start, Share * ?OPEN_ASKS, lists:append(Kept)};
measure('remote-tell', Far, Count) ->
    warm_up(Far),
    Bytes = binary:copy(<<7>>, ?TELL_BYTES),
    Start = now_ns(),
    tell(Far, Bytes, Count),
    ask(Far, 0, Count),
    {now_ns() - Start, Count, []};
measure('first-contact', {_, Node} = Far, Count) ->
    %% A node that does not listen is a hidden one.
    ok = net_kernel:monitor_nodes(true, [{node_type, all}]),
    Durations = [first_contact(Far, Node, Value) || Value <- lists:seq(1, Count)],
    {lists:sum(Durations), Count, Durations}.

tell(_, _, 0) -> ok;
tell(Far, Bytes, Left) ->
    Far ! {note, Bytes},
    tell(Far, Bytes, Left - 1).

first_contact(Far, Node, Value) ->
    Start = now_ns(),
    ask(Far, Value, Value),
    Duration = now_ns() - Start,
    erlang:disconnect_node(Node),
    receive {nodedown, Node, _} -> ok after ?PATIENCE_MS -> exit(no_nodedown) end,
    receive {nodeup, Node, _} -> ok after 0 -> ok end,
    Duration.
