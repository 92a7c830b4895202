%% Erlang beside the Rust libraries: the workloads of drive.rs and the Savina programs of savina/, message for message.
%%
%% Bare processes and messages, no gen_server: the kindest loop for Erlang. Mailboxes are unbounded. An ask carries a
%% fresh reference and has no deadline. `main` measures one repetition, prints one line of JSON, the sample that
%% peers/erlang.rs reads, and halts; a wrong answer halts with status 1 and says what on stderr.
-module(bench).
-export([main/1]).

-define(BATCH, 100).
-define(WARM_UP_ASKS, 1000).
-define(RING_MEMBERS, 1000).
-define(FAN_IN_PRODUCERS, 8).
-define(FAN_OUT_SUBSCRIBERS, 10000).
%% As in savina/verdict.rs: a program that has lost a message would be waited for for ever.
-define(PATIENCE_MS, 300000).

main([Workload, Digits]) ->
    Count = list_to_integer(Digits),
    %% A process of its own: the one that evaluates `-run` has other duties.
    {_, Monitor} = spawn_monitor(fun() -> exit({sample, measure(list_to_atom(Workload), Count)}) end),
    receive
        {'DOWN', Monitor, process, _, {sample, Sample}} ->
            print(Sample),
            halt(0);
        {'DOWN', Monitor, process, _, Reason} ->
            io:format(standard_error, "bench.erl: ~s: ~p~n", [Workload, Reason]),
            halt(1)
    end.

print({Elapsed, Count, Batches, Resident}) ->
    Laps = lists:join(",", [io_lib:format("~.2f", [Lap / ?BATCH]) || Lap <- Batches]),
    io:format("{\"elapsed_ns\":~b,\"count\":~b,\"batches_ns\":[~s],\"resident_bytes\":~p}~n",
              [Elapsed, Count, Laps, Resident]).

now_ns() -> erlang:monotonic_time(nanosecond).

expect(Expected, Expected) -> ok;
expect(Expected, Got) -> exit({answered, Got, expected, Expected}).

%% -- ask, tell, fan-in, fan-out, ring, spawn ------------------------------------------------------------------------

measure(ask, Count) ->
    Counter = warm_counter(),
    Start = now_ns(),
    Batches = laps(0, Count div ?BATCH, Start, fun(Value) -> expect(Value, ask(Counter, Value)) end),
    {now_ns() - Start, Count, Batches, null};
measure(tell, Count) ->
    tell(1, Count);
measure('fan-in', Count) ->
    tell(?FAN_IN_PRODUCERS, Count);
measure('fan-out', Count) ->
    Reports = reports(),
    Subscribers = [spawn(fun() -> member(none, Reports) end) || _ <- lists:seq(1, ?FAN_OUT_SUBSCRIBERS)],
    publish(Subscribers, Reports),
    Rounds = Count div ?FAN_OUT_SUBSCRIBERS,
    Start = now_ns(),
    repeat(Rounds, fun() -> publish(Subscribers, Reports) end),
    {now_ns() - Start, Rounds * ?FAN_OUT_SUBSCRIBERS, [], null};
measure(ring, Hops) ->
    Reports = reports(),
    Members = [First | Others] = [spawn(fun() -> member(none, Reports) end) || _ <- lists:seq(1, ?RING_MEMBERS)],
    lists:foreach(fun({Member, Next}) -> caused(Reports, 1, fun() -> Member ! {link, Next} end) end,
                  lists:zip(Members, Others ++ [First])),
    caused(Reports, 1, fun() -> First ! {hop, ?RING_MEMBERS} end),
    Start = now_ns(),
    caused(Reports, 1, fun() -> First ! {hop, Hops - 1} end),
    {now_ns() - Start, Hops, [], null};
measure(spawn, Count) ->
    Before = resident(),
    Start = now_ns(),
    Batches = laps(0, Count div ?BATCH, Start, fun(Value) ->
        expect(Value, ask(spawn(fun() -> counter(0) end), Value))
    end),
    Elapsed = now_ns() - Start,
    {Elapsed, Count, Batches, max(0, resident() - Before)};
%% The Savina programs: timed whole, checked by their verdict.
measure(Program, Size) ->
    Start = now_ns(),
    {Verdict, Counted} = program(Program, Size),
    receive
        {verdict, Got} -> expect(Verdict, Got)
    after ?PATIENCE_MS ->
        exit(no_verdict)
    end,
    {now_ns() - Start, Counted, [], null}.

%% The durations of so many batches; `Step` gets the running number.
laps(_, 0, _, _) -> [];
laps(Value, Left, Since, Step) ->
    batch(Value, ?BATCH, Step),
    Now = now_ns(),
    [Now - Since | laps(Value + ?BATCH, Left - 1, Now, Step)].

batch(_, 0, _) -> ok;
batch(Value, Left, Step) -> Step(Value), batch(Value + 1, Left - 1, Step).

repeat(0, _) -> ok;
repeat(Left, Do) -> Do(), repeat(Left - 1, Do).

counter(Sum) ->
    receive
        {note, _, _} -> counter(Sum + 1);
        {ask, From, Ref, Value} -> From ! {Ref, Value + Sum}, counter(Sum)
    end.

ask(Counter, Value) ->
    Ref = make_ref(),
    Counter ! {ask, self(), Ref, Value},
    receive {Ref, Answer} -> Answer end.

warm_counter() ->
    Counter = spawn(fun() -> counter(0) end),
    batch(0, ?WARM_UP_ASKS, fun(Value) -> expect(Value, ask(Counter, Value)) end),
    Counter.

tell(Producers, Count) ->
    Counter = warm_counter(),
    Share = Count div Producers,
    Start = now_ns(),
    Tasks = [spawn_monitor(fun() -> produce(Counter, Producer, Share) end) || Producer <- lists:seq(1, Producers)],
    [receive {'DOWN', Monitor, process, _, Reason} -> expect(normal, Reason) end || {_, Monitor} <- Tasks],
    Elapsed = now_ns() - Start,
    expect(Share * Producers, ask(Counter, 0)),
    {Elapsed, Share * Producers, [], null}.

produce(Counter, _, 0) -> ask(Counter, 0);
produce(Counter, Producer, Left) ->
    Counter ! {note, Producer, Left},
    produce(Counter, Producer, Left - 1).

%% How members report to the driver: a shared count of what is missing, as `Done` of drive.rs.
reports() -> {atomics:new(1, []), self()}.

report({Missing, Driver}) ->
    case atomics:sub_get(Missing, 1, 1) of
        0 -> Driver ! all_in;
        _ -> ok
    end.

caused({Missing, _}, Reports, Cause) ->
    atomics:put(Missing, 1, Reports),
    Cause(),
    receive all_in -> expect(0, atomics:get(Missing, 1)) end.

publish(Subscribers, Reports) ->
    caused(Reports, ?FAN_OUT_SUBSCRIBERS, fun() -> [Subscriber ! {hop, 0} || Subscriber <- Subscribers] end).

member(Next, Reports) ->
    receive
        {link, Successor} -> report(Reports), member(Successor, Reports);
        {hop, 0} -> report(Reports), member(Next, Reports);
        {hop, Left} -> Next ! {hop, Left - 1}, member(Next, Reports)
    end.

%% Resident bytes of the whole machine, as for the others. /proc has no sizes: read line by line.
resident() ->
    {ok, Status} = file:open("/proc/self/status", [read]),
    Kib = resident(Status),
    ok = file:close(Status),
    Kib * 1024.

resident(Status) ->
    case file:read_line(Status) of
        {ok, "VmRSS:" ++ Rest} -> list_to_integer(hd(string:lexemes(Rest, " \t")));
        {ok, _} -> resident(Status)
    end.

%% -- the Savina programs: each starts its processes and returns the verdict it will send, and what is counted --------

program('ping-pong', Pings) ->
    Driver = self(),
    Ponger = spawn(fun ponger/0),
    Pinger = spawn(fun() -> pinger(Ponger, Pings, 0, Driver) end),
    Pinger ! start,
    {Pings, 2 * Pings};
program(count, Increments) ->
    Driver = self(),
    Counter = spawn(fun() -> increments(0) end),
    spawn(fun() ->
        repeat(Increments, fun() -> Counter ! increment end),
        Counter ! {retrieve, self()},
        receive {counted, Counted} -> Driver ! {verdict, Counted} end
    end),
    {Increments, Increments};
program('thread-ring', Hops) ->
    Driver = self(),
    Members = [First | Others] =
        [spawn(fun() -> receive {link, Next} -> thread(Index, Next, Driver) end end) || Index <- lists:seq(0, 99)],
    [Member ! {link, Next} || {Member, Next} <- lists:zip(Members, Others ++ [First])],
    First ! {token, Hops - 1},
    {(Hops - 1) rem 100, Hops};
program('fork-join-throughput', Rounds) ->
    Collector = collector(60),
    Workers = [spawn(fun() -> worker(37.2, Rounds, 0, Collector) end) || _ <- lists:seq(1, 60)],
    repeat(Rounds, fun() -> [Worker ! work || Worker <- Workers] end),
    {60 * Rounds, 60 * Rounds};
program('fork-join-create', Actors) ->
    Collector = collector(Actors),
    repeat(Actors, fun() -> spawn(fun() -> worker(37.2, 1, 0, Collector) end) ! work end),
    {Actors, Actors};
program(big, Pings) ->
    Collector = collector(120),
    Members = [spawn(fun() -> receive {meet, All} -> big(Index, All, Index, Pings, 0, Collector) end end)
               || Index <- lists:seq(0, 119)],
    All = list_to_tuple(Members),
    [Member ! {meet, All} || Member <- Members],
    [Member ! start || Member <- Members],
    {120 * Pings, 2 * 120 * Pings};
program(chameneos, Meetings) ->
    Driver = self(),
    Mall = spawn(fun() -> mall(Meetings, none, 100, 0, Driver) end),
    [spawn(fun() -> visit(Mall, Index rem 3, 0) end) || Index <- lists:seq(0, 99)],
    {2 * Meetings, 4 * Meetings};
program('bounded-buffer', Each) ->
    Driver = self(),
    Manager = spawn(fun() ->
        receive {open, Producers, Consumers} ->
            [Producer ! produce || Producer <- Producers],
            manager(queue:new(), queue:new(), Consumers, 0, 0, Driver)
        end
    end),
    Producers = [spawn(fun() -> producer(Index * Each, (Index + 1) * Each, Manager) end) || Index <- lists:seq(0, 39)],
    Consumers = [spawn(fun() -> consumer(Manager) end) || _ <- lists:seq(1, 40)],
    Manager ! {open, Producers, Consumers},
    Items = 40 * Each,
    {Items * (Items - 1) div 2, 4 * Items};
program(dictionary, Requests) ->
    Collector = collector(20),
    Dictionary = spawn(fun() -> dictionary(maps:from_list([{Key, Key} || Key <- lists:seq(0, 511)])) end),
    [spawn(fun() -> requests(Dictionary, Index, Requests, 0, Collector) end) || Index <- lists:seq(0, 19)],
    {20 * Requests, 2 * 20 * Requests};
program(philosophers, Meals) ->
    Driver = self(),
    Arbitrator = spawn(fun() ->
        receive {open, Philosophers} -> arbitrator(Philosophers, erlang:make_tuple(20, free), 0, 20, Driver) end
    end),
    Philosophers = [spawn(fun() -> philosopher(Index, Meals, Arbitrator) end) || Index <- lists:seq(0, 19)],
    Arbitrator ! {open, list_to_tuple(Philosophers)},
    [Philosopher ! start || Philosopher <- Philosophers],
    {20 * Meals, 3 * 20 * Meals};
program(banking, Transfers) ->
    Driver = self(),
    spawn(fun() ->
        Teller = self(),
        Accounts = list_to_tuple([spawn(fun() -> account(100000000, Teller) end) || _ <- lists:seq(1, 1000)]),
        order(Accounts, 1000, Transfers),
        repeat(Transfers, fun() -> receive transferred -> ok end end),
        [Account ! audit || Account <- tuple_to_list(Accounts)],
        Driver ! {verdict, lists:sum([receive {balance, Balance} -> Balance end || _ <- lists:seq(1, 1000)])}
    end),
    {1000 * 100000000, 4 * Transfers};
program(skynet, Leaves) ->
    %% The root reports to the driver as to a node.
    Driver = self(),
    spawn(fun() ->
        spawn_node(self(), 0, Leaves),
        receive {sum, Sum} -> Driver ! {verdict, Sum} end
    end),
    {Leaves * (Leaves - 1) div 2, (Leaves * 10 - 1) div 9}.

%% Sums up so many reports and tells the caller's process the verdict.
collector(Missing) ->
    Driver = self(),
    spawn(fun() -> Driver ! {verdict, collect(Missing, 0)} end).

collect(0, Sum) -> Sum;
collect(Missing, Sum) -> receive {report, Report} -> collect(Missing - 1, Sum + Report) end.

%% The generator of random.rs: the next state, and a number below the limit.
random(State, Limit) ->
    Next = (State * 69069 + 1) band 16#FFFFFFFF,
    {Next, (Next bsr 16) rem Limit}.

ponger() -> receive {ping, From} -> From ! pong, ponger() end.

pinger(Ponger, Left, Answers, Driver) ->
    receive
        start -> ping(Ponger, Left, Answers, Driver);
        pong -> ping(Ponger, Left, Answers + 1, Driver)
    end.

ping(_, 0, Answers, Driver) -> Driver ! {verdict, Answers};
ping(Ponger, Left, Answers, Driver) ->
    Ponger ! {ping, self()},
    pinger(Ponger, Left - 1, Answers, Driver).

increments(Count) ->
    receive
        increment -> increments(Count + 1);
        {retrieve, From} -> From ! {counted, Count}
    end.

thread(Index, Next, Driver) ->
    receive
        {token, 0} -> Driver ! {verdict, Index};
        {token, Left} -> Next ! {token, Left - 1}, thread(Index, Next, Driver)
    end.

%% The angle is an argument so that the compiler does not know its sine.
worker(_, Rounds, Rounds, Collector) -> Collector ! {report, Rounds};
worker(Angle, Rounds, Handled, Collector) ->
    receive work ->
        Sine = math:sin(Angle),
        true = Sine * Sine > 0,
        worker(Angle, Rounds, Handled + 1, Collector)
    end.

big(Index, All, Random, Left, Answers, Collector) ->
    receive
        start -> big_ping(Index, All, Random, Left, Answers, Collector);
        {ping, From} -> element(From + 1, All) ! pong, big(Index, All, Random, Left, Answers, Collector);
        pong -> big_ping(Index, All, Random, Left, Answers + 1, Collector)
    end.

big_ping(Index, All, Random, 0, Answers, Collector) ->
    Collector ! {report, Answers},
    big(Index, All, Random, 0, 0, Collector);
big_ping(Index, All, Random, Left, Answers, Collector) ->
    {Next, Target} = random(Random, 120),
    element(Target + 1, All) ! {ping, Index},
    big(Index, All, Next, Left - 1, Answers, Collector).

mall(_, _, 0, Met, Driver) -> Driver ! {verdict, Met};
mall(Meetings, Waiting, Creatures, Met, Driver) ->
    receive
        {meet, _, Creature} when Meetings =:= 0 ->
            Creature ! exit,
            mall(0, Waiting, Creatures, Met, Driver);
        {meet, _, Creature} when Waiting =:= none ->
            mall(Meetings, Creature, Creatures, Met, Driver);
        {meet, Colour, Creature} ->
            Waiting ! {meet, Colour, Creature},
            mall(Meetings - 1, none, Creatures, Met, Driver);
        {faded, Times} ->
            mall(Meetings, Waiting, Creatures - 1, Met + Times, Driver)
    end.

visit(Mall, Colour, Met) ->
    Mall ! {meet, Colour, self()},
    receive
        {meet, Other, Creature} ->
            Changed = complement(Colour, Other),
            Creature ! {change, Changed},
            visit(Mall, Changed, Met + 1);
        {change, Changed} ->
            visit(Mall, Changed, Met + 1);
        exit ->
            Mall ! {faded, Met}
    end.

complement(Colour, Colour) -> Colour;
complement(Colour, Other) -> 3 - Colour - Other.

manager(Waiting, HeldBack, Idle, 40, Sum, Driver) when length(Idle) =:= 40 ->
    _ = {Waiting, HeldBack},
    Driver ! {verdict, Sum};
manager(Waiting, HeldBack, Idle, Finished, Sum, Driver) ->
    receive
        {item, From, Item} ->
            {StillWaiting, StillIdle} = hand_out(Item, Waiting, Idle),
            case queue:len(StillWaiting) >= 10 of
                true -> manager(StillWaiting, queue:in(From, HeldBack), StillIdle, Finished, Sum, Driver);
                false -> From ! produce, manager(StillWaiting, HeldBack, StillIdle, Finished, Sum, Driver)
            end;
        {consumed, By, Item} ->
            case queue:out(Waiting) of
                {empty, _} ->
                    manager(Waiting, HeldBack, [By | Idle], Finished, Sum + Item, Driver);
                {{value, Next}, Rest} ->
                    By ! {item, Next},
                    manager(Rest, let_go(HeldBack), Idle, Finished, Sum + Item, Driver)
            end;
        finished ->
            manager(Waiting, HeldBack, Idle, Finished + 1, Sum, Driver)
    end.

hand_out(Item, Waiting, [Consumer | Idle]) -> Consumer ! {item, Item}, {Waiting, Idle};
hand_out(Item, Waiting, []) -> {queue:in(Item, Waiting), []}.

let_go(HeldBack) ->
    case queue:out(HeldBack) of
        {empty, _} -> HeldBack;
        {{value, Producer}, Rest} -> Producer ! produce, Rest
    end.

producer(Next, End, Manager) ->
    receive
        produce when Next =:= End -> Manager ! finished;
        produce -> Manager ! {item, self(), Next}, producer(Next + 1, End, Manager)
    end.

consumer(Manager) -> receive {item, Item} -> Manager ! {consumed, self(), Item}, consumer(Manager) end.

dictionary(Map) ->
    receive
        {read, Key, From} -> From ! {value, maps:get(Key, Map)}, dictionary(Map);
        {write, Key, Value, From} -> From ! {value, Value}, dictionary(Map#{Key := Value})
    end.

requests(_, _, 0, Right, Collector) -> Collector ! {report, Right};
requests(Dictionary, Random, Left, Right, Collector) ->
    {Drawn, Key} = random(Random, 512),
    {Next, Share} = random(Drawn, 100),
    case Share < 10 of
        true -> Dictionary ! {write, Key, Key + 512 * Left, self()};
        false -> Dictionary ! {read, Key, self()}
    end,
    receive
        {value, Value} when Value rem 512 =:= Key -> requests(Dictionary, Next, Left - 1, Right + 1, Collector);
        {value, _} -> requests(Dictionary, Next, Left - 1, Right, Collector)
    end.

arbitrator(_, _, Meals, 0, Driver) -> Driver ! {verdict, Meals};
arbitrator(Philosophers, Forks, Meals, Left, Driver) ->
    receive
        {hungry, Index} ->
            {One, Other} = {Index + 1, (Index + 1) rem 20 + 1},
            case {element(One, Forks), element(Other, Forks)} of
                {free, free} ->
                    element(One, Philosophers) ! eat,
                    Taken = setelement(One, setelement(Other, Forks, taken), taken),
                    arbitrator(Philosophers, Taken, Meals, Left, Driver);
                _ ->
                    element(One, Philosophers) ! denied,
                    arbitrator(Philosophers, Forks, Meals, Left, Driver)
            end;
        {done, Index} ->
            {One, Other} = {Index + 1, (Index + 1) rem 20 + 1},
            {taken, taken} = {element(One, Forks), element(Other, Forks)},
            Free = setelement(One, setelement(Other, Forks, free), free),
            arbitrator(Philosophers, Free, Meals + 1, Left, Driver);
        left ->
            arbitrator(Philosophers, Forks, Meals, Left - 1, Driver)
    end.

philosopher(_, 0, Arbitrator) -> Arbitrator ! left;
philosopher(Index, Left, Arbitrator) ->
    receive
        eat ->
            Arbitrator ! {done, Index},
            hungry(Index, Left - 1, Arbitrator),
            philosopher(Index, Left - 1, Arbitrator);
        _ ->
            hungry(Index, Left, Arbitrator),
            philosopher(Index, Left, Arbitrator)
    end.

hungry(_, 0, _) -> ok;
hungry(Index, _, Arbitrator) -> Arbitrator ! {hungry, Index}.

order(_, _, 0) -> ok;
order(Accounts, Random0, Left) ->
    {Random1, From} = random(Random0, 800),
    {Random2, Above} = random(Random1, 1000 - From - 1),
    {Random3, Amount} = random(Random2, 1000),
    element(From + 1, Accounts) ! {transfer, Amount, element(From + 1 + Above + 1, Accounts)},
    order(Accounts, Random3, Left - 1).

%% What comes while the other account has not confirmed stays in the mailbox: Erlang's own way to keep it. With a
%% fresh reference to wait for, the receive need not look through what was there before.
account(Balance, Teller) ->
    receive
        {transfer, Amount, To} ->
            Ref = make_ref(),
            To ! {deposit, Amount, self(), Ref},
            receive Ref -> Teller ! transferred end,
            account(Balance - Amount, Teller);
        {deposit, Amount, From, Ref} ->
            From ! Ref,
            account(Balance + Amount, Teller);
        audit ->
            Teller ! {balance, Balance}
    end.

spawn_node(Parent, First, Leaves) -> spawn(fun() -> node(Parent, First, Leaves) end) ! grow.

node(Parent, First, 1) -> receive grow -> Parent ! {sum, First} end;
node(Parent, First, Leaves) ->
    receive grow -> ok end,
    Each = Leaves div 10,
    [spawn_node(self(), First + Index * Each, Each) || Index <- lists:seq(0, 9)],
    Parent ! {sum, lists:sum([receive {sum, Sum} -> Sum end || _ <- lists:seq(1, 10)])}.
